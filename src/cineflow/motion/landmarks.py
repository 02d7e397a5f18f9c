"""Points, lengths and areas from what a network gives: heat maps, key points, label maps."""

from __future__ import annotations

import numpy as np

from cineflow.errors import ArgumentError


def peaks(heat_maps: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The peak of each heat map, between the samples, in pixels of the frame.

    The highest sample, moved along each axis to the vertex of the parabola through it and its two
    neighbours (at most half a sample). The maps cover the frame edge to edge, whatever their
    resolution: map sample i has its centre at (i + 1/2) * frame / map - 1/2 pixels.

    Args:
        heat_maps: [K, h, w] or [K, d, h, w], floating point; higher is more likely.
        size: Sizes of the frame, (H, W) or (D, H, W).

    Returns:
        Points f32 [K, 2] or [K, 3] px, x first, and each map's highest value, f32 [K].

    Raises:
        ArgumentError: No map, maps whose rank is not the frame's, or a value that is not finite.
    """
    maps = np.asarray(heat_maps, np.float64)
    rank = len(size)
    if maps.ndim != rank + 1 or 0 in maps.shape:
        raise ArgumentError(f"heat maps with {rank} axes each, one or more", f"{list(maps.shape)}")
    if not np.isfinite(maps).all():
        raise ArgumentError("finite heat maps", "NaN or infinite values")
    flat = maps.reshape(len(maps), -1)
    highest = flat.argmax(axis=1)
    cells = np.stack(np.unravel_index(highest, maps.shape[1:]), axis=1)
    points = np.empty((len(maps), rank))
    for k, cell in enumerate(cells):
        for axis in range(rank):
            line = maps[(k, *cell[:axis], slice(None), *cell[axis + 1 :])]
            zoom = size[axis] / maps.shape[1 + axis]
            points[k, axis] = (_vertex(line, int(cell[axis])) + 0.5) * zoom - 0.5
    return points[:, ::-1].astype(np.float32), flat.max(axis=1).astype(np.float32)


def _vertex(line: np.ndarray, at: int) -> float:
    """Position of the maximum near sample `at`, from the parabola through three samples."""
    if not 0 < at < len(line) - 1:
        return float(at)
    before, here, after = line[at - 1 : at + 2]
    curvature = before - 2.0 * here + after
    if curvature >= 0:  # a plateau
        return float(at)
    return at + float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5))


def chain_lengths(points: np.ndarray, spacing: tuple[float, ...] | None = None) -> np.ndarray:
    """Distance from each point to the next, f32 [K - 1], in mm with a spacing, else in pixels.

    Args:
        points: [K, 2] or [K, 3] px, x first.
        spacing: mm per pixel along the frame's axes, (row, column) or (slice, row, column).

    Source: LVID, IVS and LVPW are such lengths of four points on one line (Lang et al. 2015).
    """
    steps = np.diff(np.asarray(points, np.float64), axis=0)
    if spacing is not None:
        steps = steps * np.asarray(spacing, np.float64)[::-1]
    return np.linalg.norm(steps, axis=1).astype(np.float32)


def class_areas(
    labels: np.ndarray, classes: int, spacing: tuple[float, ...] | None = None
) -> np.ndarray:
    """Area (or volume) of each class, f32 [classes], in mm^2 (mm^3) with a spacing, else in pixels.

    Args:
        labels: Whole numbers, [H, W] or [D, H, W]; values outside 0..classes - 1 are not counted.
        classes: How many there are.
        spacing: mm per pixel along the frame's axes.
    """
    flat = np.asarray(labels).ravel()
    counts = np.bincount(flat[(flat >= 0) & (flat < classes)].astype(np.int64), minlength=classes)
    cell = 1.0 if spacing is None else float(np.prod(spacing))
    return (counts * cell).astype(np.float32)
