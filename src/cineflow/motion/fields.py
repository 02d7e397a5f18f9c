"""Argument checks that every function on motion fields shares."""

from __future__ import annotations

import numpy as np

from cineflow.errors import ArgumentError


def require_field(name: str, field: np.ndarray, *, finite: bool = True) -> np.ndarray:
    """`field` as f32 [2, H, W].

    Raises:
        ArgumentError: Another shape, or a value that is not finite.
    """
    array = np.asarray(field)
    if array.ndim != 3 or array.shape[0] != 2 or array.dtype.kind != "f":
        raise ArgumentError(f"{name}: floating point [2, H, W]", _describe(array))
    if finite and not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ArgumentError(f"{name}: finite values", f"{bad} of {array.size} are NaN or infinite")
    return np.ascontiguousarray(array, np.float32)


def require_mask(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """`mask` as bool [H, W] of `size`, with at least one pixel set.

    Raises:
        ArgumentError: Another shape, or an empty mask: a mean over nothing is no number.
    """
    array = np.asarray(mask)
    if array.shape != size:
        raise ArgumentError(f"a mask of {list(size)}", _describe(array))
    array = array.astype(bool)
    if not array.any():
        raise ArgumentError("a mask with at least one pixel", "an empty mask")
    return array


def require_same_size(name: str, array: np.ndarray, size: tuple[int, ...]) -> None:
    """Raise `ArgumentError` unless the last two axes of `array` are `size`."""
    if array.shape[-2:] != size:
        raise ArgumentError(f"{name}: [..., {size[0]}, {size[1]}]", _describe(array))


def require_spacing(spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """`spacing_mm` (row, column), positive and finite.

    Raises:
        ArgumentError: No pair of positive finite numbers; lengths then stay in pixels.
    """
    pair = tuple(float(value) for value in spacing_mm)
    if len(pair) != 2 or not all(np.isfinite(value) and value > 0 for value in pair):
        raise ArgumentError(
            "a spacing (row_mm, column_mm) of positive numbers",
            repr(spacing_mm),
            "Without a calibration give None: the result is in pixels",
        )
    return pair[0], pair[1]


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype.name} {list(array.shape)}"
