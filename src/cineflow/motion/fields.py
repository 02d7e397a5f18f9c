"""Argument checks that every function on motion fields shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cineflow.errors import ArgumentError


def require_finite(name: str, values: np.ndarray) -> None:
    """Raise `ArgumentError` unless every value is a finite number."""
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise ArgumentError(f"{name}: finite values", f"{bad} of {values.size} NaN or infinite")


def require_field(
    name: str, field: np.ndarray, *, finite: bool = True, volumes: bool = False
) -> np.ndarray:
    """`field` as f32 [2, H, W]; with `volumes` also [3, D, H, W].

    Raises:
        ArgumentError: Another shape, or a value that is not finite.
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
    """`mask` as bool [H, W] of `size`, with at least one pixel set.

    Booleans, integers (0 is false) or floats that are 0 and 1 throughout.

    Raises:
        ArgumentError: Another shape, an empty mask (a mean over nothing is no number), or values
            that are neither true nor false, such as NaN.
    """
    array = np.asarray(mask)
    if array.shape != size:
        raise ArgumentError(f"a mask of {list(size)}", _describe(array))
    floats = array.dtype.kind == "f"
    if array.dtype.kind not in "biuf" or (floats and not np.isin(array, (0.0, 1.0)).all()):
        raise ArgumentError(
            "a mask of true and false",
            f"{array.dtype.name} values other than 0 and 1" if floats else array.dtype.name,
            "Compare first: values > threshold is a mask",
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
    """`spacing_mm` (row, column) or (slice, row, column), positive and finite.

    Raises:
        ArgumentError: Not so many positive finite numbers; lengths then stay in pixels.
    """
    numbers = np.ndim(spacing_mm) == 1 and np.asarray(spacing_mm).dtype.kind in "iuf"
    steps = tuple(map(float, spacing_mm)) if numbers else ()
    if len(steps) != dimensions or not all(np.isfinite(step) and step > 0 for step in steps):
        axes = "(row_mm, column_mm)" if dimensions == 2 else "(slice_mm, row_mm, column_mm)"
        raise ArgumentError(
            f"a spacing {axes} of positive numbers",
            repr(spacing_mm),
            "Without a calibration give None: the result is in pixels",
        )
    return steps


def require_point(
    name: str,
    point: Sequence[float] | np.ndarray,
    dimensions: int,
    size: tuple[int, ...] | None = None,
) -> np.ndarray:
    """`point` as f64 [D], (x, y) or (x, y, z); with `size`, (rows, columns) for instance, inside.

    Raises:
        ArgumentError: Not so many finite numbers, or outside the image.
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
