"""Block statistics of a pair: against the reference, on every instruction set and thread count."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.pair_blocks import pair_blocks
from cineflow.reference.pair_blocks import pair_blocks as reference
from tests.ops.fronts import INSTRUCTION_SETS, using

FIELDS = ("count", "grey_a", "grey_b", "pixels", "aa", "bb", "ab", "xx", "xy", "yy",
          "flow_x", "flow_y", "deformation", "folded")  # fmt: skip


def pair(height, width, dtype=np.uint8, seed=0):
    """A textured pair with a black corner, and a flow that leaves the image and folds."""
    rng = np.random.default_rng(seed)
    previous, current = rng.uniform(0, 255, (2, height, width))
    previous[: height // 3, : width // 2] = current[: height // 2, : width // 2] = 0
    flow = rng.normal(0, 3, (2, height, width)).astype(np.float32)
    return previous.astype(dtype), current.astype(dtype), flow


def assert_agree(got, expected):
    """Within f32 rounding of the largest value of each field, and of the variances for products."""
    for name, one, other in zip(FIELDS, got, expected, strict=True):
        scale = np.abs(expected[4:6] if name in ("aa", "bb", "ab") else other).max()
        if name in ("xx", "xy", "yy"):
            scale = np.abs(expected[7:10]).max()
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=2e-6 * max(scale, 1), err_msg=name)


SIZES = [
    (16, 16),
    (48, 64),
    (37, 53),
    (33, 16),
    (15, 40),
    (40, 7),
    (4, 6),
    (3, 50),
    (1, 1),
    (1, 20),
]


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_agrees_with_the_reference(isa, size):
    before = _C.instruction_set()
    if not _C.set_instruction_set(isa):
        pytest.skip(f"this machine has no {isa}")
    _C.set_instruction_set(before)
    with using(isa, 1):
        for dtype in (np.uint8, np.float32):
            given = pair(*size, dtype)
            assert_agree(pair_blocks(*given), reference(*given))


@pytest.mark.parametrize("size", [(37, 53), (48, 64), (5, 9)], ids=str)
def test_a_mask_chooses_the_pixels(size):
    given = pair(*size, np.float32)
    mask = np.random.default_rng(1).random(size) < 0.7
    masked = pair_blocks(*given, mask)
    assert_agree(masked, reference(*given, mask))
    assert not np.array_equal(masked, pair_blocks(*given))
    np.testing.assert_array_equal(masked, pair_blocks(*given, mask[:, ::-1].copy()[:, ::-1]))


def test_a_block_without_pixels_has_the_grey_of_the_frame():
    previous, current, flow = pair(32, 48)
    previous[:, :16] = current[:, :16] = 0
    found = dict(zip(FIELDS, pair_blocks(previous, current, np.zeros_like(flow)), strict=True))
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
