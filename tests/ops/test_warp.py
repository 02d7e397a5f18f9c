"""`cineflow.ops.warp`: where it writes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError


def test_out_is_written_and_returned():
    src = np.random.default_rng(0).random((2, 3, 5, 6), np.float32)
    flow = np.ones((2, 2, 5, 6), np.float32)
    out = np.full((2, 5, 12, 3), -1, np.float32)[:, :, ::2].transpose(0, 3, 1, 2)
    assert ops.warp(src, flow, out=out) is out
    np.testing.assert_array_equal(out, ops.warp(src, flow))


def test_the_result_keeps_the_layout_of_the_source():
    src = np.zeros((1, 3, 3, 4), np.float32).transpose(0, 3, 1, 2)
    assert ops.warp(src, np.zeros((1, 2, 3, 3), np.float32)).strides[1] == 4


def refusal(**changes: object) -> tuple[dict[str, object], str]:
    arguments: dict[str, object] = {
        "src": np.zeros((1, 3, 4, 5), np.float32),
        "flow": np.zeros((1, 2, 4, 5), np.float32),
    }
    wanted = str(changes.pop("wanted"))
    return {**arguments, **changes}, wanted


BUFFER = np.zeros(200, np.float32)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        refusal(src=np.zeros((3, 4, 5), np.float32), wanted=r"\[N, C, H, W\]"),
        refusal(src=np.zeros((1, 3, 4, 5)), wanted="float32"),
        refusal(src=[[1.0]], wanted="NumPy, torch or CuPy"),
        refusal(flow=np.zeros((1, 3, 4, 5), np.float32), wanted="2 .x and y."),
        refusal(flow=np.zeros((2, 2, 4, 5), np.float32), wanted="src's batch"),
        refusal(flow=np.zeros((1, 2, 4, 5), np.float16), wanted="flow of dtype float32"),
        refusal(border="reflect", wanted='"zeros" or "clamp"'),
        refusal(out=np.zeros((1, 3, 4, 6), np.float32), wanted="flow's width"),
        refusal(out=np.zeros((1, 3, 4, 5), np.uint8), wanted="out of dtype float32"),
        refusal(
            src=BUFFER[:60].reshape(1, 3, 4, 5),
            out=BUFFER[30:90].reshape(1, 3, 4, 5),
            wanted="apart from every input",
        ),
        refusal(
            out=np.lib.stride_tricks.as_strided(BUFFER, (1, 3, 4, 5), (4, 4, 4, 4)),
            wanted="do not overlap one another",
        ),
        refusal(
            src=np.broadcast_to(np.float32(0), (1, 1, 1, 2**24)), wanted="sides below 16777216"
        ),
        refusal(
            src=np.lib.stride_tricks.as_strided(BUFFER, (1, 3, 2, 5), (0, 0, 2**33, 4)),
            wanted="fewer than 2147483648",
        ),
    ],
)
def test_bad_arguments_are_refused_with_what_was_wanted(arguments, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        ops.warp(**arguments)


def test_a_read_only_output_is_refused():
    out = np.zeros((1, 1, 2, 2), np.float32)
    out.setflags(write=False)
    with pytest.raises(ArgumentError, match="may be written"):
        ops.warp(np.zeros_like(out), np.zeros((1, 2, 2, 2), np.float32), out=out)
