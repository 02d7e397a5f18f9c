"""Choosing points of the heart's wall to follow, and reading a field between its pixels."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import cv2
import numpy as np

from cineflow.cine import Cine, VolumeCine
from cineflow.motion.points import read_at

# Grey levels from which a pixel has full weight: mean brightness (blood is darker) and change over
# the clip (the near field is bright and stands still).
_BRIGHT, _CHANGING = 25.0, 8.0
# Points with less than this share of the best score are not taken.
_LEAST_SCORE = 0.05
#: Mean and change of the clips that are in use: points, mesh and wall each need them.
_KNOWN: WeakKeyDictionary[Cine, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


def choose_wall_points(cine: Cine, count: int = 32) -> np.ndarray:
    """Points of the first frame that lie on textured, bright, moving tissue.

    The score is the smaller eigenvalue of the structure tensor (Shi and Tomasi 1994) of the first
    frame. The frame is normalised locally, so that the dim lateral wall counts as much as the
    bright septum. The score is weighted down where the clip is dark or still. Non-maximum
    suppression spreads the points.

    Args:
        cine: The clip.
        count: Largest number of points.

    Returns:
        float32 [P, 2] (x, y) px, best first. P is at most `count`, and 0 in a clip without texture.
    """
    unit = min(cine.size) / 240  # every width below was chosen on pictures of 240 rows
    score = _score(cine, unit)
    height, width = cine.size
    y, x = np.mgrid[:height, :width]
    least = _LEAST_SCORE * score.max()
    points: list[tuple[int, int]] = []
    while len(points) < count:
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        if score[row, column] <= least:
            break
        points.append((int(column), int(row)))
        score[(x - column) ** 2 + (y - row) ** 2 < (12 * unit) ** 2] = 0
    return np.array(points, np.float32).reshape(-1, 2)


def tissue_mask(cine: Cine) -> np.ndarray:
    """Where the clip shows tissue, which is bright enough on average; bool [H, W]."""
    unit = min(cine.size) / 240
    mean = cv2.GaussianBlur(_mean_and_change(cine)[0], (0, 0), 3 * unit)
    return np.asarray((mean > 0.6 * _BRIGHT) & _inner(cine.sector, unit))


def tissue_voxels(clip: VolumeCine) -> np.ndarray:
    """Where volumes show tissue, which is bright enough on average; bool [D, H, W]."""
    mean = np.zeros(clip.size, np.float32)
    for volume in clip.frames:
        mean += volume
    mean /= len(clip)
    smooth = np.stack([cv2.GaussianBlur(one, (0, 0), 1.0) for one in mean])
    mean = cv2.blur(smooth.reshape(len(smooth), -1), (1, 3)).reshape(clip.size)  # along the depth
    return np.asarray((mean > 0.6 * _BRIGHT) & clip.sector)


def sample_field(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Read a field [2, H, W] bilinearly at points [..., 2] (x, y) px; clamped at the border.

    Returns:
        float32 [..., 2].
    """
    last = np.array(field.shape[:0:-1]) - 1  # x, y
    inside = np.clip(points.reshape(-1, 2), 0, last)
    return read_at(field, inside).reshape(points.shape).astype(np.float32)


def _score(cine: Cine, unit: float) -> np.ndarray:
    def blur(image: np.ndarray, sigma: float) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma * unit))

    first = cine.frames[0].astype(np.float32)
    local = 50 * first / (blur(first, 12) + 6)
    smooth = blur(local, 1)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    xx, xy, yy = blur(dx * dx, 3), blur(dx * dy, 3), blur(dy * dy, 3)
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)

    mean, change = _mean_and_change(cine)
    weight = np.clip(blur(mean, 2) / _BRIGHT, 0, 1) * np.clip(blur(change, 3) / _CHANGING, 0, 1)
    texture = np.sqrt(np.maximum(smaller, 0))
    return np.asarray(texture * weight * _inner(cine.sector, unit))


def _mean_and_change(cine: Cine) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each pixel over time, f32 [H, W], one frame at a time."""
    if cine not in _KNOWN:
        total, squares = (np.zeros(cine.size, np.float64) for _ in range(2))
        for frame in cine.frames:
            cv2.accumulate(frame, total)
            cv2.accumulateSquare(frame, squares)
        mean = total / len(cine)
        change = np.sqrt(np.maximum(squares / len(cine) - mean**2, 0))
        _KNOWN[cine] = mean.astype(np.float32), change.astype(np.float32)
    return _KNOWN[cine]


def _inner(sector: np.ndarray, unit: float) -> np.ndarray:
    """The sector without a rim of 8 px (at 240 rows), because its edge is not texture."""
    side = 2 * round(8 * unit) + 1
    padded = cv2.copyMakeBorder(sector.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.erode(padded, np.ones((side, side), np.uint8))[1:-1, 1:-1] > 0)
