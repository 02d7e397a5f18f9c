"""The 16-segment polar layout of Xue et al.: one image per segment, and one per patient.

Source:
    Xue et al., multi-scale motion-based spatial attention, section III-A, equations 1 to 3.
"""

from __future__ import annotations

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.aha import LEVELS, Level


def polar_split(polar: np.ndarray, level: Level) -> list[np.ndarray]:
    """The n segments of one polar slice in order, each [r, a / n, ...].

    The angular axis is the second. It is circular and runs from the middle of the anterior wall
    towards the septum. (The paper's text splits "along the first dimension", which is the radius.)
    The first segment straddles the seam, so the slice is rotated by half a segment first.
    `cineflow.ops.polar_resample` returns [..., a, r]: swap its last two axes.

    Args:
        polar: [r, a, ...]; a is a multiple of 2 n.
        level: Level of the slice; n is 6 for basal and mid, 4 for apical.

    Raises:
        ArgumentError: An unknown level, or an angular axis that is not a multiple of 2 n.
    """
    if level not in LEVELS:
        raise ArgumentError(f"a level of {', '.join(LEVELS)}", repr(level))
    count = LEVELS[level][1]
    if np.ndim(polar) < 2 or polar.shape[1] % (2 * count):
        raise ArgumentError(
            f"a polar slice [r, a, ...] with a divisible by {2 * count}",
            f"{list(np.shape(polar))}",
        )
    return np.split(np.roll(polar, polar.shape[1] // (2 * count), axis=1), count, axis=1)


def segment_sequences(
    basal: np.ndarray, mid: np.ndarray, apical: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The 16 segment images of one patient, P_seg^1 .. P_seg^16, each [r, a / 6, ...].

    The apical slice is first resampled linearly along its angle, so that its four sectors of 90
    degrees have the same number of columns as the six of 60.

    Args:
        basal, mid, apical: Polar slices [r, a, ...] of one shape; a is a multiple of 12.

    Raises:
        ArgumentError: Shapes differ, or the angular axis is not a multiple of 12.
    """
    shapes = [np.shape(part) for part in (basal, mid, apical)]
    if len(set(shapes)) != 1:
        raise ArgumentError("three polar slices of one shape", " and ".join(map(str, shapes)))
    six = [*polar_split(basal, "basal"), *polar_split(mid, "mid")]
    # a is a multiple of 12, so 4 a / 6 is a multiple of 8, as an apical split requires.
    return (*six, *polar_split(_around(apical, apical.shape[1] * 4 // 6), "apical"))


def patient_sequence(segments: tuple[np.ndarray, ...]) -> np.ndarray:
    """P_pat = [P_seg^1, ..., P_seg^16] side by side along the angle, [r, 16 a / 6, ...].

    Neighbouring columns are neighbours in the heart only within a slice. Segments 6 | 7 and 12 | 13
    are from different slices, and each slice is cut at its seam. `np.split(..., 16, axis=1)`
    recovers the segments.

    Raises:
        ArgumentError: Not 16 segments of one shape.
    """
    shapes = {np.shape(segment) for segment in segments}
    if len(segments) != 16 or len(shapes) != 1:
        raise ArgumentError("16 segments of one shape", f"{len(segments)} of {sorted(shapes)}")
    return np.concatenate(segments, axis=1)


def _around(polar: np.ndarray, count: int) -> np.ndarray:
    """`polar` [r, a, ...] resampled to `count` < a columns around the circle; linear."""
    where = np.arange(count) * (polar.shape[1] / count)
    left = where.astype(np.int64)  # at most a - 2, since `count` < a: never reaches over the seam
    share = (where - left).reshape(1, -1, *[1] * (polar.ndim - 2))
    return np.asarray((1.0 - share) * polar[:, left] + share * polar[:, left + 1])
