"""RAFT's look-up without the volume of all pairs: correlations where they are looked up."""

from __future__ import annotations

from cineflow import _C
from cineflow.ops.arrays import Array, current_stream, empty_output, require_array
from cineflow.ops.correlation import Scale, scale_factor
from cineflow.ops.correlation_pyramid import (
    level_count,
    lookup_radius,
    lookup_shape,
    require_levels,
)
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator


def feature_pyramid(f2: Array, *, levels: int = 4, out: Array | None = None) -> Array:
    """The levels of a feature map, one below the other, for `correlation_on_demand`.

    Level 0 is `f2`. Each further level is the mean of 2 x 2 pixels of the one before; an odd last
    row or column is left out. Level l has H >> l rows and W >> l columns; the columns to its right
    are 0. Means are float32 and are rounded once.

    Args:
        f2: [N, C, H, W] float32, float16 or bfloat16, any strides.
        levels: 1 to 4. The last one must have at least one pixel: sides of 2^(levels - 1) or more.
        out: Where to write. It may not overlap `f2`.

    Returns:
        [N, C, R, W] in `f2`'s dtype and layout, with the rows R of all levels: `out` if it was
        given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; the map is too small for the levels;
            `out` overlaps `f2`.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    return run(_features, f2, level_count(levels), out=out)


def correlation_on_demand(
    f1: Array,
    features: Array,
    coords: Array,
    *,
    levels: int = 4,
    radius: int = 4,
    scale: Scale = "sqrt",
    out: Array | None = None,
) -> Array:
    """`correlation_lookup` in the pyramid of `f1` and f2, without the pyramid in memory.

    The mean of correlations is the correlation with the mean of the features, so the numbers are
    the same up to rounding. Each call computes the windows again: with a few iterations on small
    maps the pyramid is faster.

    Args:
        f1: [N, C, H, W] float32, float16 or bfloat16, any strides.
        features: [N, C, R, W] in `f1`'s dtype: `feature_pyramid` of f2, which has `f1`'s sides.
        coords: [N, 2, H, W] float32, (x, y) in pixels of level 0.
        levels: Those of the features, 1 to 4.
        radius: r in pixels of each level, 0 to 8.
        scale: "sqrt" (1 / sqrt(C), RAFT's), "mean", or the factor itself.
        out: Where to write. It may not overlap an input.

    Returns:
        [N, levels (2r + 1)^2, H, W] in `f1`'s dtype, in the order of `correlation_lookup`: `out`
        if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.

    Source:
        `AlternateCorrBlock` of RAFT's code.
    """
    require_array("f1", f1, _MAPS)
    options = (level_count(levels), lookup_radius(radius), scale_factor(scale, f1))
    return run(_on_demand, f1, features, coords, *options, out=out)


def level_rows(height: int, levels: int) -> int:
    """Rows of all levels: (H >> 0) + (H >> 1) + ..."""
    return sum(height // 2**level for level in range(levels))


def _allocate_features(f2: Array, levels: int) -> Array:
    batch, channels, height, width = f2.shape
    require_levels(levels, height, width)
    return empty_output(f2, (batch, channels, level_rows(height, levels), width))


def _fill_features(out: Array, f2: Array, levels: int) -> None:
    _C.feature_pyramid(f2, out, levels, current_stream(f2))


def _allocate(
    f1: Array, features: Array, coords: Array, levels: int, radius: int, scale: float
) -> Array:
    _, _, height, width = f1.shape
    require_levels(levels, height, width)
    shape = lookup_shape(f1, levels, radius, (height, width))
    return empty_output(f1, shape, keep_layout=False)


def _fill(
    out: Array, f1: Array, features: Array, coords: Array, levels: int, radius: int, scale: float
) -> None:
    stream = current_stream(f1)
    _C.correlation_on_demand(f1, features, coords, out, levels, radius, scale, stream)


_MAPS = "[N, C, H, W]"
_features = Operator(
    "feature_pyramid(Tensor f2, int levels) -> Tensor",
    {"f2": _MAPS},
    _allocate_features,
    _fill_features,
)
_on_demand = Operator(
    "correlation_on_demand(Tensor f1, Tensor features, Tensor coords, int levels, int radius, "
    "float scale) -> Tensor",
    {"f1": _MAPS, "features": "[N, C, R, W]", "coords": "[N, 2, H, W]"},
    _allocate,
    _fill,
)
