"""Block statistics of a pair: against the reference, on every front and thread count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.pair_blocks import pair_blocks
from cineflow.reference.pair_blocks import pair_blocks as reference
from tests.core.pair_calls import FIELDS, SIZES, agree, on_gpu, pair
from tests.ops.fronts import INSTRUCTION_SETS, using


@pytest.fixture(scope="module", params=[*INSTRUCTION_SETS, "torch", "cuda"])
def run(request: pytest.FixtureRequest) -> Callable[..., np.ndarray]:
    """Each front of the op, from NumPy arrays to one."""
    if request.param == "cuda":
        cuda = request.getfixturevalue("cuda")
        return lambda *arrays: on_gpu(
            cuda, *(one.view(np.uint8) if one.dtype == bool else one for one in arrays)
        )
    if request.param == "torch":
        torch: Any = pytest.importorskip("torch")

        def by_torch(*arrays: np.ndarray) -> np.ndarray:
            bits = (one.view(np.uint8) if one.dtype == bool else one for one in arrays)
            found: np.ndarray = pair_blocks(*map(torch.from_numpy, bits)).numpy()
            return found

        return by_torch
    before = _C.instruction_set()
    if not _C.set_instruction_set(request.param):
        pytest.skip(f"this machine has no {request.param}")
    _C.set_instruction_set(before)

    def by_numpy(*arrays: np.ndarray) -> np.ndarray:
        with using(request.param, 1):
            return pair_blocks(*arrays)

    return by_numpy


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_agrees_with_the_reference(run, size):
    for dtype in (np.uint8, np.float32):
        given = pair(*size, dtype)
        agree(run(*given), reference(*given))


@pytest.mark.parametrize("size", [(37, 53), (48, 64), (5, 9)], ids=str)
def test_a_mask_chooses_the_pixels(run, size):
    given = pair(*size, np.float32)
    mask = np.random.default_rng(1).random(size) < 0.7
    masked = run(*given, mask)
    agree(masked, reference(*given, mask))
    assert not np.array_equal(masked, run(*given))


def test_a_mask_may_have_any_strides():
    given = pair(37, 53, np.float32)
    mask = np.random.default_rng(1).random((37, 53)) < 0.7
    turned = mask[:, ::-1].copy()[:, ::-1]
    np.testing.assert_array_equal(pair_blocks(*given, mask), pair_blocks(*given, turned))


def test_a_block_without_pixels_has_the_grey_of_the_frame(run):
    previous, current, flow = pair(32, 48)
    previous[:, :16] = current[:, :16] = 0
    found = dict(zip(FIELDS, run(previous, current, np.zeros_like(flow)), strict=True))
    assert not found["count"][:, 0].any()
    np.testing.assert_allclose(found["grey_a"][:, 0], previous.mean(), rtol=1e-6)
    np.testing.assert_allclose(found["grey_b"][:, 0], current.mean(), rtol=1e-6)


@pytest.mark.parametrize("size", [(131, 77), (256, 256)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(size):
    given = pair(*size, np.float32)
    with using(_C.instruction_set(), 1):
        one = pair_blocks(*given)
    for threads in (2, 3, 5):
        with using(_C.instruction_set(), threads):
            np.testing.assert_array_equal(pair_blocks(*given), one)


def test_rows_may_be_far_apart():
    given = pair(37, 53, np.float32)
    wide = [np.zeros((*one.shape[:-1], 90), one.dtype) for one in given]
    views = [canvas[..., 5 : 5 + 53] for canvas in wide]
    for view, one in zip(views, given, strict=True):
        view[...] = one
    out = np.full((14, 2, 6), -1, np.float32)[..., ::2]
    _C.pair_blocks(*views, None, out)
    np.testing.assert_array_equal(out, pair_blocks(*given))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("pixel", [(0, 0), (-1, -1), (20, -1), (-1, 3)], ids=str)
def test_a_value_that_is_not_finite_is_refused_anywhere(value, index, pixel):
    given = pair(37, 53, np.float32)
    given[index][(..., *pixel)] = value
    name = ("previous", "current", "flow")[index]
    with pytest.raises(ArgumentError, match=f"{name}: finite values; got NaN or infinite"):
        pair_blocks(*given)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"previous": np.zeros((32, 47), np.uint8)}, "previous with 48"),
        ({"current": np.zeros((31, 48), np.uint8)}, "current with 32"),
        ({"current": np.zeros((32, 48), np.float16)}, "current of dtype float32 or uint8"),
        ({"flow": np.zeros((3, 32, 48), np.float32)}, "flow with 2 "),
        ({"flow": np.zeros((2, 32, 48), np.float16)}, "flow of dtype float32"),
        ({"flow": np.zeros((2, 0, 48), np.float32)}, "flow's height in 1"),
        ({"mask": np.zeros((32, 47), np.uint8)}, "mask with 48"),
        ({"mask": np.zeros((32, 48), np.float32)}, "mask of dtype uint8"),
        ({"previous": np.zeros((32, 96), np.uint8)[:, ::2]}, "previous with adjacent columns"),
        ({"out": np.zeros((14, 2, 4), np.float32)}, "out with 3 "),
        ({"out": np.zeros((13, 2, 3), np.float32)}, "out with 14 "),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else case,
)
def test_bad_arguments_are_refused(change, wanted):
    good = {
        "previous": np.zeros((32, 48), np.uint8),
        "current": np.zeros((32, 48), np.uint8),
        "flow": np.zeros((2, 32, 48), np.float32),
        "mask": None,
        "out": np.zeros((14, 2, 3), np.float32),
    }
    _C.pair_blocks(**good)
    with pytest.raises(ArgumentError, match=wanted):
        _C.pair_blocks(**good | change)


def test_out_in_the_memory_of_a_frame_is_refused():
    memory = np.zeros(32 * 48, np.float32)
    frame = np.zeros((32, 48), np.uint8)
    with pytest.raises(ArgumentError, match="overlaps no input"):
        _C.pair_blocks(
            memory.reshape(32, 48), frame, np.zeros((2, 32, 48), np.float32), None,
            memory[:84].reshape(14, 2, 3),
        )  # fmt: skip
