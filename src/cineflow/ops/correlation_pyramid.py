"""RAFT's correlation of all pairs of pixels, with pooled levels, and the look-up in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import Array, current_stream, empty_output, require_array
from cineflow.ops.correlation import Scale, scale_factor
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator
from cineflow.ops.scalars import is_whole


def correlation_pyramid(
    f1: Array, f2: Array, *, levels: int = 4, scale: Scale = "sqrt", out: Array | None = None
) -> Array:
    """Compare each feature with those of all pixels of another map, on several levels.

    Level 0 of pixel p is `scale * sum over channels of f1(p) * f2(q)` for every pixel q. Each
    further level is the mean of 2 x 2 pixels of the one before; an odd last row or column is left
    out, as in RAFT. Products, sums and means are float32.

    The result needs H W L elements per image, where L is about 4 / 3 H W.
    `correlation_on_demand` gives the same look-ups without it.

    Args:
        f1: [N, C, H, W] float32, float16 or bfloat16, any strides.
        f2: Like `f1`.
        levels: 1 to 4. The last one must have at least one pixel: sides of 2^(levels - 1) or more.
        scale: "sqrt" (1 / sqrt(C), RAFT's), "mean", or the factor itself.
        out: Where to write. It may not overlap an input.

    Returns:
        [N, H, W, L] in `f1`'s dtype: `out` if it was given. For each pixel (y, x) of `f1`, the
        levels follow one another, each row by row; `pyramid_level` returns one of them.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; maps are too small for the levels;
            `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.

    Source:
        Teed and Deng, RAFT, ECCV 2020, section 3.2; `CorrBlock` of its code.
    """
    require_array("f1", f1, _MAPS)
    return run(_pyramid, f1, f2, level_count(levels), scale_factor(scale, f1), out=out)


def correlation_lookup(
    pyramid: Array, coords: Array, *, levels: int = 4, radius: int = 4, out: Array | None = None
) -> Array:
    """Sample a window of every level around where each pixel is expected.

    `out[k](p) = level l at (coords(p) / 2^l + d)`, bilinear, and 0 outside, where d runs over the
    square of side 2r + 1. Channel k is `l (2r + 1)^2 + (dx + r)(2r + 1) + (dy + r)`: dy counts
    fastest, as in RAFT. A non-finite coordinate gives 0.

    Args:
        pyramid: [N, H, W, L] float32, float16 or bfloat16, any strides, of `correlation_pyramid`.
        coords: [N, 2, H, W] float32, (x, y) in pixels of level 0.
        levels: Those of the pyramid, 1 to 4.
        radius: r in pixels of each level, 0 to 8.
        out: Where to write. It may not overlap an input.

    Returns:
        [N, levels (2r + 1)^2, H, W] in `pyramid`'s dtype: `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.

    Source:
        As `correlation_pyramid`.
    """
    return run(_lookup, pyramid, coords, level_count(levels), lookup_radius(radius), out=out)


def pyramid_level(pyramid: Array, level: int, *, levels: int = 4) -> Array:
    """One level of a pyramid, as a view.

    Args:
        pyramid: [N, H, W, L] of `correlation_pyramid`.
        level: 0 to levels - 1.
        levels: Those of the pyramid.

    Returns:
        [N, H, W, H >> level, W >> level], in the memory of `pyramid`.

    Raises:
        ArgumentError: `pyramid` does not have that shape, or lacks the level.
    """
    require_array("pyramid", pyramid, _PYRAMID)
    levels = level_count(levels)
    if not is_whole(level) or not 0 <= level < levels:
        raise ArgumentError(f"level in 0..{levels - 1}", repr(level))
    batch, height, width, length = pyramid.shape
    wanted = pyramid_length(height, width, levels)
    if length != wanted:
        raise ArgumentError(f"pyramid with {wanted} elements of {levels} levels", str(length))
    start = pyramid_length(height, width, level)
    shape = (batch, height, width, height // 2**level, width // 2**level)
    return pyramid[..., start : start + shape[3] * shape[4]].reshape(shape)


def level_count(levels: Any) -> int:
    """`levels` as an int; raises `ArgumentError` unless it is an integer in range."""
    return _whole("levels", levels, 1, _C.MAX_LEVELS)


def lookup_radius(radius: Any) -> int:
    """`radius` as an int; raises `ArgumentError` unless it is an integer in range."""
    return _whole("radius", radius, 0, _C.MAX_LOOKUP_RADIUS)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    whole = int(value) if is_whole(value) else -1
    if not low <= whole <= high:
        raise ArgumentError(f"{name} in {low}..{high}", repr(value))
    return whole


def pyramid_length(height: int, width: int, levels: int) -> int:
    """Elements of all levels: (H >> 0)(W >> 0) + (H >> 1)(W >> 1) + ..."""
    return sum((height // 2**level) * (width // 2**level) for level in range(levels))


def require_levels(levels: int, height: Any, width: Any) -> None:
    """Raise `ArgumentError` unless the last level has a pixel. Symbolic sizes are not known yet."""
    level_count(levels)
    if not all(isinstance(side, (int, np.integer)) for side in (height, width)):
        return
    if levels > 1 and min(height, width) < 2 ** (levels - 1):
        raise ArgumentError(
            f"maps of at least {2 ** (levels - 1)} pixels a side for {levels} levels",
            f"{height} x {width}",
            "Take fewer levels.",
        )


def lookup_shape(maps: Any, levels: int, radius: int, sides: tuple[Any, Any]) -> tuple[Any, ...]:
    """Shape of the look-ups of all pixels of maps with that batch and those sides."""
    return (maps.shape[0], levels * (2 * lookup_radius(radius) + 1) ** 2, *sides)


def _allocate_pyramid(f1: Array, f2: Array, levels: int, scale: float) -> Array:
    batch, _, height, width = f1.shape
    require_levels(levels, height, width)
    shape = (batch, height, width, pyramid_length(height, width, levels))
    return empty_output(f1, shape, keep_layout=False)


def _fill_pyramid(out: Array, f1: Array, f2: Array, levels: int, scale: float) -> None:
    _C.correlation_pyramid(f1, f2, out, levels, scale, current_stream(f1))


def _allocate_lookup(pyramid: Array, coords: Array, levels: int, radius: int) -> Array:
    _, height, width, _ = pyramid.shape
    require_levels(levels, height, width)
    shape = lookup_shape(pyramid, levels, radius, (height, width))
    return empty_output(pyramid, shape, keep_layout=False)


def _fill_lookup(out: Array, pyramid: Array, coords: Array, levels: int, radius: int) -> None:
    _C.correlation_lookup(pyramid, coords, out, levels, radius, current_stream(pyramid))


_MAPS = "[N, C, H, W]"
_PYRAMID = "[N, H, W, L]"
_pyramid = Operator(
    "correlation_pyramid(Tensor f1, Tensor f2, int levels, float scale) -> Tensor",
    {"f1": _MAPS, "f2": _MAPS},
    _allocate_pyramid,
    _fill_pyramid,
)
_lookup = Operator(
    "correlation_lookup(Tensor pyramid, Tensor coords, int levels, int radius) -> Tensor",
    {"pyramid": _PYRAMID, "coords": "[N, 2, H, W]"},
    _allocate_lookup,
    _fill_lookup,
)
