"""Backward warp by a pixel flow."""

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


def warp(src: Array, flow: Array, *, border: Border = "zeros", out: Array | None = None) -> Array:
    """Sample an image where a flow points: `out(p) = src(p + flow(p))`, bilinear.

    Coordinates are pixels, pixel centres are integers, and p runs over the flow's grid, which may
    differ in size from the source's. A non-finite coordinate contributes 0, whatever the border.

    Args:
        src: [N, C, H, W], any strides; float32, float16, bfloat16 or uint8, any unit.
        flow: [N, 2, h, w] float32, in pixels of `src`: channel 0 = x (right), 1 = y (down).
        border: "zeros": a neighbour outside `src` counts 0; "clamp": the coordinate is moved to
            the nearest edge.
        out: Where to write, [N, C, h, w], any strides, apart from the inputs in memory; None
            allocates it in the layout of `src`.

    Returns:
        [N, C, h, w] in `src`'s unit and dtype (float32 for uint8): `out` where it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    clamp = is_clamp(border)
    kind = kind_of(src=src, flow=flow, out=out)
    require_rank("src", src, 4, "[N, C, H, W]")
    require_rank("flow", flow, 4, "[N, 2, h, w]")
    if kind == "torch" and out is None:
        from cineflow.ops import torch_library

        return torch_library.warp(src, flow, border)
    if out is None:
        out = empty_output(src, (src.shape[0], src.shape[1], flow.shape[2], flow.shape[3]))
    _C.warp(src, flow, out, clamp, current_stream(src))
    return out
