"""What the ops refuse, before any work, and how they say it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


GRID = ops.PolarGrid(8, 5, last_radius=4.0)
MAP = zeros(1, 3, 4, 5)
FLOW = zeros(1, 2, 4, 5)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: ops.compose_flow(FLOW, zeros(2, 2, 4, 5)), "displacement's batch"),
        (lambda: ops.compose_flow(MAP, FLOW), "displacement with 2 .x and y."),
        (lambda: ops.compose_flow(FLOW, FLOW.astype("float16")), "flow of dtype float32"),
        (lambda: ops.compose_flow(FLOW, FLOW, out=FLOW), "apart from every input"),
        (lambda: ops.correlation(MAP, zeros(1, 2, 4, 5)), "f1's channels"),
        (lambda: ops.correlation(MAP, MAP.astype("float16")), "f2 of dtype float32"),
        (lambda: ops.correlation(MAP.astype("uint8"), MAP), "f1 of dtype float32"),
        (lambda: ops.correlation(MAP, MAP, radius=33), "radius in 0..32"),
        (lambda: ops.correlation(MAP, MAP, radius=-1), "radius in 0..32"),
        (lambda: ops.correlation(MAP, MAP, dilation=0), "dilation in 1..16"),
        (lambda: ops.correlation(MAP, MAP, scale="sum"), '"mean", "sqrt"'),
        (lambda: ops.correlation(MAP, MAP, scale=math.nan), '"mean", "sqrt"'),
        (lambda: ops.correlation(MAP, MAP, order="zz"), '"yx" or "xy"'),
        (lambda: ops.correlation(MAP, MAP, out=MAP), r".2 radius . 1.\^2"),
        (lambda: ops.warp_correlation(MAP, MAP, zeros(1, 2, 4, 6)), "f1's width"),
        (lambda: ops.polar_resample(MAP[0], (0, 0), GRID), "N, C, rows, columns"),
        (lambda: ops.polar_resample(MAP, zeros(3, 2), GRID), "src's batch, or 1"),
        (lambda: ops.polar_resample(MAP, zeros(1, 3), GRID), "x and y"),
        (lambda: ops.polar_resample(MAP, (0, 0), GRID, scale=math.inf), "scale in"),
        (lambda: ops.polar_unresample(MAP, (0, 0), GRID, (9, 9)), "the grid's"),
        (lambda: ops.PolarGrid(0, 5, last_radius=4.0), "at least 1 x 1"),
        (lambda: ops.PolarGrid(8, 5, last_radius=4.0, sweep=7.0), "two pi"),
        (lambda: ops.PolarGrid(8, 5, last_radius=0.0), "radii that differ"),
    ],
)
def test_bad_arguments_are_refused_with_what_was_wanted(call, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        call()
