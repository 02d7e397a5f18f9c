"""Backward warp by a pixel flow."""

from __future__ import annotations

from cineflow import _C
from cineflow.ops.arrays import Array, Border, current_stream, empty_output, is_clamp
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator


def warp(src: Array, flow: Array, *, border: Border = "zeros", out: Array | None = None) -> Array:
    """Sample images or volumes where a flow points: `out(p) = src(p + flow(p))`.

    Images are sampled bilinearly and volumes trilinearly; the rank of `src` decides. Coordinates
    are pixels, pixel centres are integers, and p runs over the flow's grid, which may differ in
    size from the source's. A non-finite coordinate contributes 0 with either border.

    Args:
        src: [N, C, H, W] or [N, C, D, H, W], any strides; float32, float16, bfloat16 or uint8, any
            unit.
        flow: [N, 2, h, w] or [N, 3, d, h, w] float32, in pixels of `src`: channel 0 = x (right),
            1 = y (down), 2 = z (the next slice).
        border: "zeros": a neighbour outside `src` counts 0; "clamp": the coordinate is moved to
            the nearest edge.
        out: Where to write, [N, C, h, w] or [N, C, d, h, w], any strides. It may not overlap an
            input. None allocates it in the layout of `src`.

    Returns:
        [N, C, h, w] or [N, C, d, h, w] in `src`'s unit and dtype (float32 for uint8): `out` if it
        was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    is_clamp(border)
    return run(_warp, src, flow, border, out=out)


def _allocate(src: Array, flow: Array, border: str = "zeros") -> Array:
    batch, channels, *_ = src.shape
    shape = [*flow.shape]
    shape[:2] = batch, channels
    return empty_output(src, shape)


def _fill(out: Array, src: Array, flow: Array, border: str = "zeros") -> None:
    _C.warp(src, flow, out, is_clamp(border), current_stream(src))


_warp = Operator(
    "warp(Tensor src, Tensor flow, str border='zeros') -> Tensor",
    {"src": "[N, C, H, W]", "flow": "[N, 2, h, w]"},
    _allocate,
    _fill,
    {"src": "[N, C, D, H, W]", "flow": "[N, 3, d, h, w]"},
)
