"""Motion over many frames: flows composed by warping, never by adding.

Adding flows as if they shared a grid costs 2 px and 12 points of radial strain over one systole;
composing the exact flows costs 0.002 px.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_field, require_same_size
from cineflow.ops import compose_flow


def compose(displacement: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """One frame further: u'(X) = u(X) + flow(X + u(X)).

    Args:
        displacement: u since the reference frame, [2, H, W] px on the reference frame's grid.
        flow: From the frame that `displacement` reaches to the next, [2, H, W] px on its grid.

    Returns:
        f32 [2, H, W] px on the reference frame's grid. A point that has left the image stays where
        it left.

    Raises:
        ArgumentError: Shapes differ, or a value is not finite.

    Source:
        The composition layer of DeepTag (Ye et al. 2021, arXiv 2103.02772).
    """
    u = require_field("displacement", displacement)
    step = require_field("flow", flow)
    require_same_size("flow", step, u.shape[-2:])
    composed: np.ndarray = compose_flow(u[None], step[None])[0]
    return composed


def compose_all(flows: Iterable[np.ndarray]) -> np.ndarray:
    """Displacement at every frame since the first, f32 [T + 1, 2, H, W] px; entry 0 is zero.

    Args:
        flows: T flows [2, H, W] px, frame k to frame k + 1 on frame k's grid, in order.

    Raises:
        ArgumentError: No flow at all, shapes differ, or a value is not finite.
    """
    steps = list(flows)
    if not steps:
        raise ArgumentError("one flow or more", "none")
    path = [np.zeros_like(require_field("flow", steps[0]))]
    for step in steps:
        path.append(compose(path[-1], step))
    return np.stack(path)
