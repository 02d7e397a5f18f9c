"""Local correlation of two feature maps or volumes, with or without a warp of the second."""

from __future__ import annotations

import math
from typing import Any, Literal

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import (
    Array,
    Border,
    current_stream,
    empty_output,
    is_clamp,
    require_array,
)
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator
from cineflow.ops.scalars import as_real, is_whole

#: "mean": the sum over channels divided by C; "sqrt": by its square root (RAFT); or a factor.
Scale = Literal["mean", "sqrt"] | float

#: Channel order. "yx": dx counts fastest, then dy, then dz, so an image's channel is
#: (dy + r)(2r + 1) + (dx + r). "xy": dx counts slowest, as in RAFT.
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
    """Compare each feature with those around the same pixel of another map.

    `out[k](p) = scale * sum over channels of f1(p) * f2(p + dilation * d_k)`, where d_k runs over
    the square of side 2r + 1 (in volumes the cube) and f2 counts 0 outside. Products and sums are
    float32.

    Args:
        f1: [N, C, H, W] or [N, C, D, H, W] float32, float16 or bfloat16, any strides.
        f2: Like `f1`.
        radius: r, 0 to 32, in steps of `dilation` pixels.
        dilation: Pixels from one displacement to the next, 1 to 16.
        scale: "mean", "sqrt", or the factor itself.
        order: Channel order, "yx" or "xy".
        out: Where to write. It may not overlap an input.

    Returns:
        [N, (2r + 1)^2, H, W] or [N, (2r + 1)^3, D, H, W] in `f1`'s dtype: `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    radius, dilation = window(radius, dilation)
    factor = scale_factor(scale, f1)
    return run(_correlation, f1, f2, radius, dilation, factor, is_x_major(order), out=out)


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

    The warped features stay in float32; they are not rounded to the storage type.

    Args:
        f1: As in `correlation`.
        f2: As in `correlation`.
        flow: [N, 2, H, W] or [N, 3, D, H, W] float32, in pixels, (x, y[, z]).
        radius: As in `correlation`.
        dilation: As in `correlation`.
        scale: As in `correlation`.
        order: As in `correlation`.
        border: Of the warp. The correlation itself counts 0 outside.
        out: As in `correlation`.

    Returns:
        As `correlation`.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    radius, dilation = window(radius, dilation)
    factor, x_major = scale_factor(scale, f1), is_x_major(order)
    is_clamp(border)
    return run(_warp_correlation, f1, f2, flow, radius, dilation, factor, x_major, border, out=out)


def window(radius: Any, dilation: Any) -> tuple[int, int]:
    """Both as ints; raises `ArgumentError` unless they are integers in range."""
    values = []
    for name, value, low, high in (
        ("radius", radius, 0, _C.MAX_RADIUS),
        ("dilation", dilation, 1, _C.MAX_DILATION),
    ):
        whole = int(value) if is_whole(value) else -1
        if not low <= whole <= high:
            raise ArgumentError(f"{name} in {low}..{high}", repr(value))
        values.append(whole)
    return values[0], values[1]


def scale_factor(scale: Any, f1: Array) -> float:
    """`scale` as a factor, given the channels of `f1`, [N, C, H, W] or [N, C, D, H, W]."""
    require_array("f1", f1, _AXES, _VOLUME_AXES)
    factor = as_real(scale)
    # Not math.isfinite: torch.compile traces this line with a symbolic scale.
    if factor is not None and -math.inf < factor < math.inf:
        return factor
    if not isinstance(scale, str) or scale not in ("mean", "sqrt"):
        raise ArgumentError('scale "mean", "sqrt" or a finite number', repr(scale))
    channels = max(f1.shape[1], 1)
    return 1.0 / (channels if scale == "mean" else math.sqrt(channels))


def is_x_major(order: Order) -> bool:
    """Whether `order` is "xy"; raises `ArgumentError` unless it is "xy" or "yx"."""
    if not isinstance(order, str) or order not in ("yx", "xy"):
        raise ArgumentError('order "yx" or "xy"', repr(order))
    return order == "xy"


def _allocate(f1: Array, f2: Array, radius: int, dilation: int, *_: object) -> Array:
    window(radius, dilation)  # first, because the allocation grows with a power of the radius
    shape = (f1.shape[0], (2 * radius + 1) ** (f1.ndim - 2), *f1.shape[2:])
    return empty_output(f1, shape, keep_layout=False)


def _fill(
    out: Array, f1: Array, f2: Array, radius: int, dilation: int, scale: float, x_major: bool
) -> None:
    stream = current_stream(f1)
    _C.correlation(f1, f2, None, out, radius, dilation, scale, x_major, False, stream)


def _allocate_warped(f1: Array, f2: Array, flow: Array, *window: Any) -> Array:
    return _allocate(f1, f2, *window)


def _fill_warped(
    out: Array,
    f1: Array,
    f2: Array,
    flow: Array,
    radius: int,
    dilation: int,
    scale: float,
    x_major: bool,
    border: str,
) -> None:
    clamp = is_clamp(border)
    stream = current_stream(f1)
    _C.correlation(f1, f2, flow, out, radius, dilation, scale, x_major, clamp, stream)


_AXES = "[N, C, H, W]"
_VOLUME_AXES = "[N, C, D, H, W]"
_OPTIONS = "int radius, int dilation, float scale, bool x_major"
_correlation = Operator(
    f"correlation(Tensor f1, Tensor f2, {_OPTIONS}) -> Tensor",
    {"f1": _AXES, "f2": _AXES},
    _allocate,
    _fill,
    {"f1": _VOLUME_AXES, "f2": _VOLUME_AXES},
)
_warp_correlation = Operator(
    f"warp_correlation(Tensor f1, Tensor f2, Tensor flow, {_OPTIONS}, str border) -> Tensor",
    {"f1": _AXES, "f2": _AXES, "flow": "[N, 2, H, W]"},
    _allocate_warped,
    _fill_warped,
    {"f1": _VOLUME_AXES, "f2": _VOLUME_AXES, "flow": "[N, 3, D, H, W]"},
)
