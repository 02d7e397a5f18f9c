"""Linear interpolation between points and regular grids of any dimension."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np


def corners(
    coordinates: Sequence[np.ndarray], shape: tuple[int, ...]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Flat index and linear weight of the 2^D samples around each point.

    Args:
        coordinates: One array [N] per axis of the grid, in samples, inside 0 .. extent - 1.
        shape: Extents of the grid.
    """
    low = [
        np.minimum(c.astype(np.intp), extent - 2)
        for c, extent in zip(coordinates, shape, strict=True)
    ]
    part = [c - whole for c, whole in zip(coordinates, low, strict=True)]
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    found = []
    for steps in product((0, 1), repeat=len(shape)):
        index, weight = np.zeros(1, np.intp), np.ones(1)
        for axis, step in enumerate(steps):
            index = index + (low[axis] + step) * strides[axis]
            weight = weight * (part[axis] if step else 1.0 - part[axis])
        found.append((index, weight))
    return found


def splat(
    coordinates: Sequence[np.ndarray], value: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Sum of the values [N], each distributed linearly to its neighbours, f32 `shape`."""
    total = np.zeros(int(np.prod(shape)))
    for index, weight in corners(coordinates, shape):
        total += np.bincount(index, weights=weight * value, minlength=total.size)
    return total.astype(np.float32).reshape(shape)


def gaussian_transfer(count: int, sigma: float) -> np.ndarray:
    """Transfer function of a unit-sum Gaussian of `sigma` samples, f32 [count]."""
    frequency = np.fft.fftfreq(count)
    return np.exp(-2.0 * (np.pi * sigma * frequency) ** 2).astype(np.float32)


def pixel_centres(size: tuple[int, ...], spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Pixel centres of a picture [H, W] or [D, H, W], f64 [*size, D] mm, (x, y[, z])."""
    axes = np.indices(size, dtype=np.float64)[::-1]
    return np.stack([axis * step for axis, step in zip(axes, spacing_mm[::-1], strict=True)], -1)
