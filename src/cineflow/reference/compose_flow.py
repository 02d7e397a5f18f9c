"""The reference of `cineflow.ops.compose_flow`."""

from __future__ import annotations

import numpy as np

from cineflow.reference.warp import warp


def compose_flow(
    displacement: np.ndarray, flow: np.ndarray, *, border: str = "zeros"
) -> np.ndarray:
    """`u'(p) = u(p) + flow(p + u(p))`; shapes as in `cineflow.ops.compose_flow`, float64."""
    moved: np.ndarray = displacement + warp(flow, displacement, border=border)
    return moved
