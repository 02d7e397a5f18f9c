"""Displacement over several frames: flows are composed by warping, never added.

Adding flows as if they shared a grid costs 2 px and 12 percentage points of radial strain over one
systole. Composing the exact flows costs 0.002 px.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_field, require_same_size
from cineflow.ops import compose_flow


def compose(displacement: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Displacement one frame later: u'(X) = u(X) + flow(X + u(X)).

    Args:
        displacement: u from the reference frame to frame n, [2, H, W] or [3, D, H, W] px on the
            reference grid.
        flow: From frame n to n + 1, px on frame n's grid, of the same size.

    Returns:
        f32, like `displacement`, on the reference grid. A point that has left the image keeps its
        displacement.

    Raises:
        ArgumentError: Shapes differ, or a value is not finite.

    Source:
        The composition layer of DeepTag (Ye et al. 2021, arXiv 2103.02772).
    """
    u = require_field("displacement", displacement, volumes=True)
    step = require_field("flow", flow, volumes=True)
    require_same_size("flow", step, u.shape)
    return compose_checked(u, step)


def compose_checked(displacement: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """As `compose`, for fields that are known to be finite f32 of one size."""
    composed: np.ndarray = compose_flow(displacement[None], flow[None])[0]
    return composed


def compose_all(flows: Iterable[np.ndarray]) -> np.ndarray:
    """Displacement of every frame from the first, f32 [T + 1, 2, H, W] px; entry 0 is zero.

    Args:
        flows: T flows [2, H, W] px in order, each from frame k to k + 1 on frame k's grid.

    Raises:
        ArgumentError: `flows` is empty, shapes differ, or a value is not finite.
    """
    steps = list(flows)
    if not steps:
        raise ArgumentError("one or more flows", "an empty list")
    path = [np.zeros_like(require_field("flow", steps[0]))]
    for step in steps:
        path.append(compose(path[-1], step))
    return np.stack(path)
