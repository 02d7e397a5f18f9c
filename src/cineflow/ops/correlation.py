"""Local correlation of two feature maps, with or without a warp of the second."""

from __future__ import annotations

import math
from typing import Literal

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import (
    Array,
    Border,
    current_stream,
    empty_output,
    is_clamp,
    kind_of,
    require_rank,
)

#: "mean": the sum over channels divided by C; "sqrt": by its square root (RAFT); or a factor.
Scale = Literal["mean", "sqrt"] | float

#: Which displacement is the slow one: "yx": channel (dy + r)(2r + 1) + (dx + r); "xy": RAFT's.
Order = Literal["yx", "xy"]


def correlation(
    f1: Array,
    f2: Array,
    *,
    radius: int = 4,
    dilation: int = 1,
    scale: Scale = "mean",
    order: Order = "yx",
    out: Array | None = None,
) -> Array:
    """Compare each feature with its neighbours in another map.

    `out[k](p) = scale * sum over channels of f1(p) * f2(p + dilation * d_k)`, where d_k runs
    through the square of the radius and f2 counts 0 outside. Products and sums are float32.

    Args:
        f1: [N, C, H, W] float32, float16 or bfloat16, any strides.
        f2: Like `f1`.
        radius: r, 0 to 32, in steps of `dilation` pixels.
        dilation: Pixels from one displacement to the next, 1 to 16.
        scale: "mean", "sqrt", or the factor itself.
        order: Channel order, "yx" or "xy".
        out: Where to write, apart from the inputs in memory.

    Returns:
        [N, (2r + 1)^2, H, W] in `f1`'s dtype: `out` where it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    return _correlate(f1, f2, None, radius, dilation, scale, order, "zeros", out)


def warp_correlation(
    f1: Array,
    f2: Array,
    flow: Array,
    *,
    radius: int = 4,
    dilation: int = 1,
    scale: Scale = "mean",
    order: Order = "yx",
    border: Border = "zeros",
    out: Array | None = None,
) -> Array:
    """`correlation(f1, warp(f2, flow))` without the warped map in memory.

    The warped features are not rounded to the storage type on the way.

    Args:
        f1: As in `correlation`.
        f2: As in `correlation`.
        flow: [N, 2, H, W] float32, in pixels, x then y.
        radius: As in `correlation`.
        dilation: As in `correlation`.
        scale: As in `correlation`.
        order: As in `correlation`.
        border: Border of the warp; the correlation's own border counts 0.
        out: As in `correlation`.

    Returns:
        As `correlation`.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    return _correlate(f1, f2, flow, radius, dilation, scale, order, border, out)


def scale_factor(scale: Scale, channels: int) -> float:
    """The factor that `scale` means for `channels` channels."""
    if isinstance(scale, (int, float)) and math.isfinite(scale):
        return float(scale)
    if scale not in ("mean", "sqrt"):
        raise ArgumentError('scale "mean", "sqrt" or a finite number', repr(scale))
    count = max(channels, 1)
    return 1.0 / (count if scale == "mean" else math.sqrt(count))


def _correlate(
    f1: Array,
    f2: Array,
    flow: Array | None,
    radius: int,
    dilation: int,
    scale: Scale,
    order: Order,
    border: Border,
    out: Array | None,
) -> Array:
    clamp = is_clamp(border)
    kind = kind_of(f1=f1, f2=f2, flow=flow, out=out)
    require_rank("f1", f1, 4, "[N, C, H, W]")
    if order not in ("yx", "xy"):
        raise ArgumentError('order "yx" or "xy"', repr(order))
    if radius < 0:
        raise ArgumentError("radius in 0..32", str(radius))
    factor = scale_factor(scale, f1.shape[1])
    x_major = order == "xy"
    if kind == "torch" and out is None:
        from cineflow.ops import torch_library

        if flow is None:
            return torch_library.correlation(f1, f2, radius, dilation, factor, x_major)
        return torch_library.warp_correlation(
            f1, f2, flow, radius, dilation, factor, x_major, border
        )
    if out is None:
        shape = (f1.shape[0], (2 * radius + 1) ** 2, f1.shape[2], f1.shape[3])
        out = empty_output(f1, shape, keep_layout=False)
    _C.correlation(f1, f2, flow, out, radius, dilation, factor, x_major, clamp, current_stream(f1))
    return out
