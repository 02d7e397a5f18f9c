"""Argument checks shared by the functions on motion fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.ops.finite import all_finite


def require_finite(name: str, values: np.ndarray) -> None:
    """Raise `ArgumentError` unless every value is a finite number."""
    if not all_finite(values):
        bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        raise ArgumentError(f"{name}: finite values", f"{bad} of {values.size} NaN or infinite")


def require_field(
    name: str, field: np.ndarray, *, finite: bool = True, volumes: bool = False
) -> np.ndarray:
    """`field` as f32 [2, H, W]; with `volumes` also [3, D, H, W].

    Raises:
        ArgumentError: The wrong shape, or a value that is not finite.
    """
    array = np.asarray(field)
    dimensions = array.ndim - 1
    if (
        dimensions not in ((2, 3) if volumes else (2,))
        or array.shape[0] != dimensions
        or array.dtype.kind != "f"
    ):
        wanted = "[2, H, W] or [3, D, H, W]" if volumes else "[2, H, W]"
        raise ArgumentError(f"{name}: floating point {wanted}", _describe(array))
    if finite:
        require_finite(name, array)
    return np.ascontiguousarray(array, np.float32)


def require_mask(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """`mask` as bool of `size`, with at least one pixel set.

    Accepts booleans, integers (0 is false), and floats that are all 0 or 1.

    Raises:
        ArgumentError: The wrong shape, an empty mask (its mean is undefined), or values that are
            neither true nor false, such as NaN.
    """
    array = np.asarray(mask)
    if array.shape != size:
        raise ArgumentError(f"a mask of {list(size)}", _describe(array))
    floats = array.dtype.kind == "f"
    if array.dtype.kind not in "biuf" or (floats and not np.isin(array, (0.0, 1.0)).all()):
        raise ArgumentError(
            "a mask of true and false",
            f"{array.dtype.name} values other than 0 and 1" if floats else array.dtype.name,
            "Make a mask by comparison: values > threshold",
        )
    array = array.astype(bool)
    if not array.any():
        raise ArgumentError("a mask with at least one pixel", "an empty mask")
    return array


def require_same_size(name: str, array: np.ndarray, size: tuple[int, ...]) -> None:
    """Raise `ArgumentError` unless the last axes of `array` are `size`."""
    if array.shape[-len(size) :] != size:
        raise ArgumentError(f"{name}: [..., {', '.join(map(str, size))}]", _describe(array))


def require_spacing(spacing_mm: tuple[float, ...], dimensions: int = 2) -> tuple[float, ...]:
    """`spacing_mm` as floats (row, column) or (slice, row, column).

    Raises:
        ArgumentError: Not `dimensions` positive finite numbers.
    """
    numbers = np.ndim(spacing_mm) == 1 and np.asarray(spacing_mm).dtype.kind in "iuf"
    steps = tuple(map(float, spacing_mm)) if numbers else ()
    if len(steps) != dimensions or not all(np.isfinite(step) and step > 0 for step in steps):
        axes = "(row_mm, column_mm)" if dimensions == 2 else "(slice_mm, row_mm, column_mm)"
        raise ArgumentError(
            f"a spacing {axes} of positive numbers",
            repr(spacing_mm),
            "Pass None without a calibration: the result is then in pixels",
        )
    return steps


def require_point(
    name: str,
    point: Sequence[float] | np.ndarray,
    dimensions: int,
    size: tuple[int, ...] | None = None,
) -> np.ndarray:
    """`point` as f64 [D], (x, y) or (x, y, z).

    Args:
        name: Name of the point in the error.
        point: The point, px.
        dimensions: D.
        size: (rows, columns) or (slices, rows, columns) of the image that must contain the point;
            None to allow any point.

    Raises:
        ArgumentError: Not D finite numbers, or a point outside the image.
    """
    array = np.asarray(point, np.float64)
    if array.shape != (dimensions,) or not np.isfinite(array).all():
        axes = "(x, y)" if dimensions == 2 else "(x, y, z)"
        raise ArgumentError(f"{name}: a finite point {axes}", f"{point}")
    if size is not None and not ((array >= -0.5) & (array <= np.array(size[::-1]) - 0.5)).all():
        within = "x".join(map(str, size))
        raise ArgumentError(f"{name}: a point inside the image of {within} px", f"{point}")
    return array


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype.name} {list(array.shape)}"
