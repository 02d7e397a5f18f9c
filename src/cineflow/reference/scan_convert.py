"""The reference of `cineflow.ops.scan_convert`."""

from __future__ import annotations

import math

import numpy as np

from cineflow.reference.warp import sample

#: Samples or lines beyond the first and the last that still belong to the sector.
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
    step = angles[1] - angles[0]
    turn = 2 * math.pi / abs(step)
    last = (lines - 1 + turn) / 2  # the gap is split in the middle
    for row, column in np.ndindex(size):
        x, y = column - apex[0], row - apex[1]
        along = (math.hypot(x, y) - radii[0]) / (radii[1] - radii[0])
        around = ((math.atan2(y, x) - angles[0]) / step) % turn
        around = around if around <= last else around - turn
        if not (-EDGE <= along <= samples - 1 + EDGE and -EDGE <= around <= lines - 1 + EDGE):
            continue
        for image, channel in np.ndindex(src.shape[:2]):
            out[image, channel, row, column] = sample(src[image, channel], along, around, "clamp")
    return offset + scale * out
