"""The reference of `cineflow.ops.warp`: one pixel at a time, in double precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np


def sample(plane: np.ndarray, x: float, y: float, border: str) -> float:
    """Bilinear sample of `plane` [H, W] at column x, row y (pixels).

    Args:
        plane: The image, any unit.
        x: Column; a non-finite coordinate gives 0.
        y: Row.
        border: "zeros" or "clamp".
    """
    if not (math.isfinite(x) and math.isfinite(y)):
        return 0.0
    height, width = plane.shape
    if border == "clamp":
        x = min(max(x, 0.0), width - 1.0)
        y = min(max(y, 0.0), height - 1.0)
    if not (-1 < x < width and -1 < y < height):
        return 0.0  # a whole pixel outside: reads no neighbour, not even with weight 0
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, column_weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                total += row_weight * column_weight * float(plane[row, column])
    return total


def sample_volume(volume: np.ndarray, position: Sequence[float], border: str) -> np.ndarray:
    """Trilinear sample of every channel of `volume` [C, D, H, W], f64 [C].

    Args:
        volume: The channels, any unit.
        position: x (column), y (row) and z (slice), pixels; a non-finite one gives 0.
        border: "zeros" or "clamp".
    """
    total = np.zeros(len(volume))
    if not all(map(math.isfinite, position)):
        return total
    neighbours = []
    for coordinate, size in zip(position, volume.shape[:0:-1], strict=True):
        if border == "clamp":
            coordinate = min(max(coordinate, 0.0), size - 1.0)
        if not -1 < coordinate < size:
            return total
        low = math.floor(coordinate)
        high_weight = coordinate - low
        both = ((low, 1 - high_weight), (low + 1, high_weight))
        neighbours.append([(pixel, weight) for pixel, weight in both if 0 <= pixel < size])
    for (x, x_weight), (y, y_weight), (z, z_weight) in itertools.product(*neighbours):
        total += x_weight * y_weight * z_weight * volume[:, z, y, x].astype(np.float64)
    return total


def warp(src: np.ndarray, flow: np.ndarray, *, border: str = "zeros") -> np.ndarray:
    """`out(p) = src(p + flow(p))`; shapes as in `cineflow.ops.warp`, result float64.

    The coordinate itself is rounded to float32, as in every kernel: it is part of the operation.
    """
    if src.ndim == 5:
        return _warp_volumes(src, flow, border)
    batch, channels = src.shape[:2]
    height, width = flow.shape[2:]
    out = np.zeros((batch, channels, height, width))
    with np.errstate(over="ignore", invalid="ignore"):
        columns = flow[:, 0] + np.arange(width, dtype=np.float32)
        rows = flow[:, 1] + np.arange(height, dtype=np.float32)[:, None]
    for image, channel, row, column in np.ndindex(out.shape):
        out[image, channel, row, column] = sample(
            src[image, channel],
            float(columns[image, row, column]),
            float(rows[image, row, column]),
            border,
        )
    return out


def _warp_volumes(src: np.ndarray, flow: np.ndarray, border: str) -> np.ndarray:
    """The same for volumes: `src` [N, C, D, H, W], `flow` [N, 3, d, h, w]."""
    out = np.zeros((*src.shape[:2], *flow.shape[2:]))
    position = np.empty_like(flow)
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, size in enumerate(flow.shape[:1:-1]):
            pixels = np.arange(size, dtype=np.float32).reshape(-1, *[1] * axis)
            position[:, axis] = flow[:, axis] + pixels
    for image, *pixel in np.ndindex(len(flow), *flow.shape[2:]):
        at = [float(one) for one in position[(image, slice(None), *pixel)]]
        out[(image, slice(None), *pixel)] = sample_volume(src[image], at, border)
    return out
