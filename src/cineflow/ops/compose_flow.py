"""Composition of motion: the displacement so far, carried on by one more flow."""

from __future__ import annotations

from cineflow import _C
from cineflow.ops.arrays import (
    Array,
    Border,
    current_stream,
    empty_output,
    is_clamp,
    kind_of,
    require_rank,
)


def compose_flow(
    displacement: Array, flow: Array, *, border: Border = "zeros", out: Array | None = None
) -> Array:
    """Follow each point one frame further: `u'(p) = u(p) + flow(p + u(p))`, in one pass.

    Args:
        displacement: u, [N, 2, H, W] float32: where each point of the reference frame is now,
            relative to where it was, in pixels (x, y), on the reference frame's grid.
        flow: [N, 2, h, w] float32, from the current frame to the next, in pixels, on the current
            frame's grid.
        border: "zeros": flow outside its grid counts 0, so a point that has left the image stays
            where it left; "clamp": it moves on with the nearest edge.
        out: Where to write, like `displacement`, apart from the inputs in memory.

    Returns:
        [N, 2, H, W] float32, on the reference frame's grid: `out` where it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    clamp = is_clamp(border)
    kind = kind_of(displacement=displacement, flow=flow, out=out)
    require_rank("displacement", displacement, 4, "[N, 2, H, W]")
    require_rank("flow", flow, 4, "[N, 2, h, w]")
    if kind == "torch" and out is None:
        from cineflow.ops import torch_library

        return torch_library.compose_flow(displacement, flow, border)
    if out is None:
        out = empty_output(displacement, displacement.shape)
    _C.compose_flow(displacement, flow, out, clamp, current_stream(displacement))
    return out
