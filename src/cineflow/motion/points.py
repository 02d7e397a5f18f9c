"""Follows points through a dense displacement."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_field


def follow(points: np.ndarray, displacements: Iterable[np.ndarray]) -> np.ndarray:
    """Positions of points at every frame: p + u_t(p), with u interpolated linearly.

    Args:
        points: At the reference frame, [N, D] px (x, y[, z]).
        displacements: Since the reference frame, [T, 2, H, W] or [T, 3, D, H, W] px, of one size.

    Returns:
        f64 [T, N, D] px. Points may leave the image.

    Raises:
        ArgumentError: `points` is empty or has the wrong dimension, a point or a displacement is
            not finite, displacements differ in size, or a point lies outside the outermost pixel
            centres, where the displacement is undefined.
    """
    path = [require_field("displacement", u, volumes=True) for u in displacements]
    if not path:
        raise ArgumentError("one or more displacements", "an empty list")
    start = np.asarray(points, np.float64)
    size = path[0].shape[1:]
    for index, u in enumerate(path):
        if u.shape != path[0].shape:
            raise ArgumentError(
                f"displacement {index} of {list(path[0].shape)}, like the first",
                f"{list(u.shape)}",
            )
    if start.ndim != 2 or len(start) == 0 or start.shape[1] != len(size):
        raise ArgumentError(f"points [N >= 1, {len(size)}]", f"{list(start.shape)}")
    last = np.array(size[::-1]) - 1.0
    inside = ((start >= 0.0) & (start <= last)).all(axis=1)  # False for NaN
    if not inside.all():
        first = int(np.argmin(inside))
        raise ArgumentError(
            f"points in an image of {'x'.join(map(str, size))} px",
            f"point {first} at {start[first].tolist()}",
        )
    return np.stack([start + read_at(u, start) for u in path])


def read_at(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`field` [D, *size] at points [N, D] inside it, f64 [N, D], by linear interpolation."""
    size = np.array(field.shape[:0:-1])  # (x, y[, z])
    low = np.minimum(points.astype(np.int64), np.maximum(size - 2, 0))
    part = points - low
    total = np.zeros(points.shape)
    for corner in product((0, 1), repeat=len(size)):
        weight = np.prod(np.where(corner, part, 1.0 - part), axis=1)
        index = np.minimum(low + corner, size - 1).T[::-1]
        total += weight[:, None] * field[(slice(None), *index)].T
    return total
