"""The references of `cineflow.ops.correlation_pyramid`, its look-ups, and the pooled features."""

from __future__ import annotations

import math

import numpy as np

from cineflow.reference.warp import sample


def halved(maps: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels of maps [..., H, W]; an odd last row or column is left out."""
    height, width = (side // 2 for side in maps.shape[-2:])
    out = np.zeros((*maps.shape[:-2], height, width))
    for y, x in np.ndindex(height, width):
        out[..., y, x] = maps[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(axis=(-2, -1))
    return out


def correlation_pyramid(
    f1: np.ndarray, f2: np.ndarray, *, levels: int = 4, scale: str | float = "sqrt"
) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.correlation_pyramid`; result float64."""
    batch, _, height, width = f1.shape
    level = _factor(scale, f1) * np.einsum(
        "ncyx,ncuv->nyxuv", f1.astype(np.float64), f2.astype(np.float64)
    )
    parts = []
    for _ in range(levels):
        parts.append(level.reshape(batch, height, width, math.prod(level.shape[-2:])))
        level = halved(level)
    return np.concatenate(parts, axis=-1)


def correlation_lookup(
    pyramid: np.ndarray, coords: np.ndarray, *, levels: int = 4, radius: int = 4
) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.correlation_lookup`; result float64."""
    batch, height, width, _ = pyramid.shape
    steps = range(-radius, radius + 1)
    out = np.zeros((batch, levels * len(steps) ** 2, height, width))
    for image, row, column in np.ndindex(batch, height, width):
        x, y = map(float, coords[image, :, row, column])
        channel = start = 0
        for level in range(levels):
            size = height // 2**level, width // 2**level
            end = start + size[0] * size[1]
            plane = pyramid[image, row, column, start:end].reshape(size)
            for dx in steps:
                for dy in steps:
                    at_x, at_y = x / 2**level + dx, y / 2**level + dy
                    out[image, channel, row, column] = sample(plane, at_x, at_y, "zeros")
                    channel += 1
            start = end
    return out


def feature_pyramid(f2: np.ndarray, *, levels: int = 4) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.feature_pyramid`; result float64."""
    width = f2.shape[3]
    level = f2.astype(np.float64)
    parts = []
    for _ in range(levels):
        parts.append(np.pad(level, ((0, 0), (0, 0), (0, 0), (0, width - level.shape[3]))))
        level = halved(level)
    return np.concatenate(parts, axis=2)


def correlation_on_demand(
    f1: np.ndarray,
    features: np.ndarray,
    coords: np.ndarray,
    *,
    levels: int = 4,
    radius: int = 4,
    scale: str | float = "sqrt",
) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.correlation_on_demand`; result float64."""
    batch, _, height, width = f1.shape
    parts, top = [], 0
    for level in range(levels):
        rows, columns = height // 2**level, width // 2**level
        part = features[:, :, top : top + rows, :columns].astype(np.float64)
        volume = np.einsum("ncyx,ncuv->nyxuv", f1.astype(np.float64), part)
        parts.append(volume.reshape(batch, height, width, rows * columns))
        top += rows
    pyramid = _factor(scale, f1) * np.concatenate(parts, axis=-1)
    return correlation_lookup(pyramid, coords, levels=levels, radius=radius)


def _factor(scale: str | float, f1: np.ndarray) -> float:
    channels = max(f1.shape[1], 1)
    factors = {"mean": 1 / channels, "sqrt": channels**-0.5}
    return factors[scale] if isinstance(scale, str) else scale
