"""The reference of `cineflow.ops.polar_resample` and `polar_unresample`."""

from __future__ import annotations

import math

import numpy as np

from cineflow.reference.warp import sample


def polar_resample(
    src: np.ndarray,
    centre: np.ndarray,
    angles: np.ndarray,
    radii: np.ndarray,
    *,
    border: str = "zeros",
    scale: float = 1.0,
    offset: float = 0.0,
) -> np.ndarray:
    """Sample along rays.

    Args:
        src: [N, C, H, W].
        centre: [N, 2] or [1, 2], x and y in pixels.
        angles: [A] radians, from x towards y.
        radii: [R] pixels.
        border: "zeros" or "clamp".
        scale: Factor of the result.
        offset: Added to the result.

    Returns:
        [N, C, A, R] float64.
    """
    out = np.zeros((*src.shape[:2], len(angles), len(radii)))
    centre = np.broadcast_to(centre, (src.shape[0], 2))
    for image, channel, row, column in np.ndindex(out.shape):
        x = float(centre[image, 0]) + float(radii[column]) * math.cos(angles[row])
        y = float(centre[image, 1]) + float(radii[column]) * math.sin(angles[row])
        out[image, channel, row, column] = sample(src[image, channel], x, y, border)
    return offset + scale * out


def polar_unresample(
    src: np.ndarray,
    centre: np.ndarray,
    angles: np.ndarray,
    radii: np.ndarray,
    size: tuple[int, int],
    *,
    border: str = "zeros",
    scale: float = 1.0,
    offset: float = 0.0,
    wraps: bool = True,
) -> np.ndarray:
    """The Cartesian image of a polar one.

    Args:
        src: [N, C, A, R].
        centre: [N, 2] or [1, 2], x and y in pixels.
        angles: [A] radians, evenly spaced; the step is the first difference.
        radii: [R] pixels, evenly spaced; the step is the first difference.
        size: (H, W) of the Cartesian image.
        border: Applies beyond the radii and beyond the angles of a sector.
        scale: Factor of the result.
        offset: Added to the result.
        wraps: Whether the angles are a full circle. In the gap of a sector, each half belongs to
            the nearest edge.

    Returns:
        [N, C, H, W] float64.
    """
    out = np.zeros((*src.shape[:2], *size))
    centre = np.broadcast_to(centre, (src.shape[0], 2))
    count = src.shape[2]
    step = angles[1] - angles[0] if len(angles) > 1 else 2 * math.pi
    radius_step = radii[1] - radii[0]
    turn = max(count, 1) if wraps else 2 * math.pi / abs(step)
    # On a full circle the first angle follows the last. A gap is split in the middle.
    ring = np.concatenate([src, src[:, :, :1]], axis=2) if wraps else src
    last = turn if wraps else (count - 1 + turn) / 2
    for image, channel, row, column in np.ndindex(out.shape):
        x, y = column - float(centre[image, 0]), row - float(centre[image, 1])
        along = (math.hypot(x, y) - radii[0]) / radius_step
        around = ((math.atan2(y, x) - angles[0]) / step) % turn
        around = around if around <= last else around - turn
        out[image, channel, row, column] = sample(ring[image, channel], along, around, border)
    return offset + scale * out
