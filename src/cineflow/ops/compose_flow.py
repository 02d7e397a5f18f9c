"""Composition of motion: the displacement so far, carried on by one more flow."""

from __future__ import annotations

from cineflow.ops.arrays import Array
from cineflow.ops.warp import warp


def compose_flow(displacement: Array, flow: Array) -> Array:
    """Follow each point one frame further: `u'(p) = u(p) + flow(p + u(p))`.

    Args:
        displacement: u, [N, 2, H, W] float32: where each point of the reference frame is now,
            relative to where it was, in pixels (x, y), on the reference frame's grid.
        flow: [N, 2, H, W] float32, from the current frame to the next, on the current frame's grid.

    Returns:
        [N, 2, H, W] float32, on the reference frame's grid. Flow outside its grid counts 0, so a
        point that has left the image stays where it left.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit.
    """
    return displacement + warp(flow, displacement)
