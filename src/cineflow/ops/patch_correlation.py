"""Correlation of the patches around key points in two sets of feature maps."""

from __future__ import annotations

from typing import Any

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import Array, Border, current_stream, empty_output, is_clamp, require_array
from cineflow.ops.correlation import Scale, scale_factor
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator
from cineflow.ops.scalars import is_whole


def patch_correlation(
    f1: Array,
    f2: Array,
    points1: Array,
    points2: Array,
    *,
    size: int | tuple[int, int],
    pool: int | tuple[int, int] = 1,
    scale: Scale = "mean",
    border: Border = "zeros",
    out: Array | None = None,
) -> Array:
    """Compare the patch around a key point of a reference with those around it in the targets.

    `out[n, k, i, j] = scale * sum over channels of a(i) * b(j)`: a(i) is cell i of the patch of
    `f1` around `points1[b, k]`, and b(j) is cell j of the patch of `f2` around `points2[n, k]`. A
    patch has `size` x `size` bilinear samples, one pixel apart. A cell is the mean of a block of
    `pool` x `pool` of them, and cells count row after row. Sample (u, v) lies at the point plus
    `(u - size // 2, v - size // 2)` pixels: around a whole pixel, the patch is a crop.

    With `pool` 1 these are all pairs of samples. With larger cells the result is exactly the mean
    of that volume over blocks of samples, but the volume is never in memory.

    Args:
        f1: [B, C, h, w] float32, float16 or bfloat16, any strides: the reference.
        f2: [N, C, H, W] like `f1`: the targets. N is a multiple of B. Each map of `f1` serves
            N / B consecutive maps of `f2`.
        points1: [B, K, 2] float32, (x, y) in pixels of `f1`.
        points2: [N, K, 2] float32, (x, y) in pixels of `f2`.
        size: Samples along a side of a patch, 1 to 64: of both, or (of `f1`, of `f2`).
        pool: Samples along a side of a cell, a divisor of `size`: of both, or (of `f1`, of `f2`).
        scale: "mean" (1 / C), "sqrt" (1 / sqrt(C)), or the factor itself.
        border: "zeros": a sample's neighbour outside the map counts 0; "clamp": the sample is moved
            to the nearest edge. A sample at a coordinate that is not finite is 0 in both modes.
        out: Where to write. It may not overlap an input.

    Returns:
        [N, K, (size1 / pool1)^2, (size2 / pool2)^2] in `f1`'s dtype: `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.

    Source: the correlation feature of Oh et al., "Semi-supervised Key-Point Estimation for
    Echocardiography Video", section 3.2, which is `size=24, pool=1, scale=1.0`.
    """
    require_array("f1", f1, _AXES["f1"])
    factor = scale_factor(scale, f1)
    sizes, pools = _pair("size", size), _pair("pool", pool)
    for side, block in zip(sizes, pools, strict=True):
        if side % block:
            raise ArgumentError("pool that divides size", f"{block} and {side}")
    is_clamp(border)
    return run(
        _patch_correlation, f1, f2, points1, points2, *sizes, *pools, factor, border, out=out
    )


def _pair(name: str, value: Any) -> tuple[int, int]:
    """`value` for `f1` and `f2`; raises `ArgumentError` unless it is one or two sizes in range."""
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2 or not all(is_whole(one) and 1 <= one <= _C.MAX_PATCH for one in both):
        raise ArgumentError(f"{name} in 1..{_C.MAX_PATCH}, or two such numbers", repr(value))
    return int(both[0]), int(both[1])


def _allocate(
    f1: Array,
    f2: Array,
    points1: Array,
    points2: Array,
    size1: int,
    size2: int,
    pool1: int,
    pool2: int,
    *_: object,
) -> Array:
    for name, value in (("size1", size1), ("size2", size2), ("pool1", pool1), ("pool2", pool2)):
        if not 1 <= value <= _C.MAX_PATCH:  # before they become a shape
            raise ArgumentError(f"{name} in 1..{_C.MAX_PATCH}", repr(value))
    cells = (size1 // pool1) ** 2, (size2 // pool2) ** 2
    return empty_output(f1, (f2.shape[0], points2.shape[1], *cells), keep_layout=False)


def _fill(
    out: Array,
    f1: Array,
    f2: Array,
    points1: Array,
    points2: Array,
    size1: int,
    size2: int,
    pool1: int,
    pool2: int,
    scale: float,
    border: str,
) -> None:
    numbers = (size1, size2, pool1, pool2, scale, is_clamp(border))
    _C.patch_correlation(f1, f2, points1, points2, out, *numbers, current_stream(f1))


_AXES = {
    "f1": "[B, C, h, w]",
    "f2": "[N, C, H, W]",
    "points1": "[B, K, 2]",
    "points2": "[N, K, 2]",
}
_patch_correlation = Operator(
    "patch_correlation(Tensor f1, Tensor f2, Tensor points1, Tensor points2, int size1, int size2,"
    " int pool1, int pool2, float scale, str border) -> Tensor",
    _AXES,
    _allocate,
    _fill,
)
