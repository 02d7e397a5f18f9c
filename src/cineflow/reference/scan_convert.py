"""The reference of `cineflow.ops.scan_convert`: images, and volumes."""

from __future__ import annotations

import math

import numpy as np

from cineflow.reference.warp import sample, sample_volume

#: Samples, lines or planes beyond the first and the last that still belong to the sector.
EDGE = 1 / 1024


def scan_convert(
    src: np.ndarray,
    apex: tuple[float, float],
    angles: np.ndarray,
    radii: np.ndarray,
    size: tuple[int, int],
    *,
    scale: float = 1.0,
    offset: float = 0.0,
) -> np.ndarray:
    """The Cartesian image of the lines of a probe.

    Args:
        src: [N, C, L, S].
        apex: (x, y) in pixels, where all lines meet.
        angles: [L] radians from x towards y, evenly spaced; the step is the first difference.
        radii: [S] pixels from the apex, evenly spaced; the step is the first difference.
        size: (H, W) of the Cartesian image.
        scale: Factor of the result.
        offset: Added to the result: the value outside of the sector.

    Returns:
        [N, C, H, W] float64.
    """
    out = np.zeros((*src.shape[:2], *size))
    lines, samples = src.shape[2:]
    for row, column in np.ndindex(size):
        x, y = column - apex[0], row - apex[1]
        along = (math.hypot(x, y) - radii[0]) / (radii[1] - radii[0])
        around = _around(math.atan2(y, x), angles, lines)
        if not (_within(along, samples) and _within(around, lines)):
            continue
        for image, channel in np.ndindex(src.shape[:2]):
            out[image, channel, row, column] = sample(src[image, channel], along, around, "clamp")
    return offset + scale * out


def scan_convert_volume(
    src: np.ndarray,
    apex: tuple[float, float],
    angles: np.ndarray,
    radii: np.ndarray,
    axis: tuple[float, float],
    tilts: np.ndarray,
    size: tuple[int, int, int],
    *,
    scale: float = 1.0,
    offset: float = 0.0,
) -> np.ndarray:
    """The Cartesian volume of the planes of a probe.

    Args:
        src: [N, C, P, L, S].
        apex: As in `scan_convert`, in the plane that is not tilted.
        angles: [L], as in `scan_convert`.
        radii: [S], as in `scan_convert`.
        axis: (y, z) in pixels of the axis of the tilts, which is parallel to x.
        tilts: [P] radians from y towards z, evenly spaced; the step is the first difference.
        size: (D, H, W) of the Cartesian volume.
        scale: Factor of the result.
        offset: Added to the result: the value outside of the pyramid.

    Returns:
        [N, C, D, H, W] float64.
    """
    out = np.zeros((*src.shape[:2], *size))
    planes, lines, samples = src.shape[2:]
    for slice_, row, column in np.ndindex(size):
        below, inward = row - axis[0], slice_ - axis[1]
        between = _around(math.atan2(inward, below), tilts, planes)
        # Turned back about the axis, the voxel lies in the plane of the image.
        x, y = column - apex[0], axis[0] + math.hypot(below, inward) - apex[1]
        along = (math.hypot(x, y) - radii[0]) / (radii[1] - radii[0])
        around = _around(math.atan2(y, x), angles, lines)
        position = (along, around, between)
        if not all(map(_within, position, (samples, lines, planes))):
            continue
        for image in range(len(src)):
            out[image, :, slice_, row, column] = sample_volume(src[image], position, "clamp")
    return offset + scale * out


def _around(angle: float, angles: np.ndarray, count: int) -> float:
    """The position of an angle among `count` evenly spaced ones."""
    step = angles[1] - angles[0]
    turn = 2 * math.pi / abs(step)
    position = float(((angle - angles[0]) / step) % turn)
    last = (count - 1 + turn) / 2  # the gap is split in the middle
    return position if position <= last else position - turn


def _within(position: float, size: int) -> bool:
    """Whether a position lies between the first and the last of `size` samples."""
    return -EDGE <= position <= size - 1 + EDGE
