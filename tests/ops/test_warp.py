"""`cineflow.ops.warp`: where it writes."""

from __future__ import annotations

import numpy as np

from cineflow import ops


def test_out_is_written_and_returned():
    src = np.random.default_rng(0).random((2, 3, 5, 6), np.float32)
    flow = np.ones((2, 2, 5, 6), np.float32)
    out = np.full((2, 5, 12, 3), -1, np.float32)[:, :, ::2].transpose(0, 3, 1, 2)
    assert ops.warp(src, flow, out=out) is out
    np.testing.assert_array_equal(out, ops.warp(src, flow))


def test_the_result_keeps_the_layout_of_the_source():
    src = np.zeros((1, 3, 3, 4), np.float32).transpose(0, 3, 1, 2)
    assert ops.warp(src, np.zeros((1, 2, 3, 3), np.float32)).strides[1] == 4
