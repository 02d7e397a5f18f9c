"""Composition of motion: a displacement followed by one more flow."""

from __future__ import annotations

from cineflow import _C
from cineflow.ops.arrays import Array, Border, current_stream, empty_output, is_clamp
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator


def compose_flow(
    displacement: Array, flow: Array, *, border: Border = "zeros", out: Array | None = None
) -> Array:
    """Follow each point one frame further: `u'(p) = u(p) + flow(p + u(p))`, in one pass.

    Args:
        displacement: u, [N, 2, H, W] or [N, 3, D, H, W] float32: where each point of the reference
            frame is now, relative to where it was, in pixels (x, y[, z]), on the reference frame's
            grid.
        flow: [N, 2, h, w] or [N, 3, d, h, w] float32, from the current frame to the next, in
            pixels, on the current frame's grid.
        border: "zeros": flow outside its grid counts 0, so a point that has left the image stops;
            "clamp": it moves on with the nearest edge.
        out: Where to write, like `displacement`. It may not overlap an input.

    Returns:
        float32, of `displacement`'s shape, on the reference frame's grid: `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    is_clamp(border)
    return run(_compose_flow, displacement, flow, border, out=out)


def _allocate(displacement: Array, flow: Array, border: str = "zeros") -> Array:
    return empty_output(displacement, displacement.shape)


def _fill(out: Array, displacement: Array, flow: Array, border: str = "zeros") -> None:
    _C.compose_flow(displacement, flow, out, is_clamp(border), current_stream(displacement))


_compose_flow = Operator(
    "compose_flow(Tensor displacement, Tensor flow, str border='zeros') -> Tensor",
    {"displacement": "[N, 2, H, W]", "flow": "[N, 2, h, w]"},
    _allocate,
    _fill,
    {"displacement": "[N, 3, D, H, W]", "flow": "[N, 3, d, h, w]"},
)
