"""Loop closure: after one beat the heart is back, so tracked tissue should be back as well.

This needs no ground truth, so it works on patients. A closed loop is necessary but not sufficient:
a tracker that reports no motion closes every loop, and a sliding probe leaves one open correctly.
For this reason `picture_shift` measures the shift of the whole picture without the tracker.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.beats import FASTEST_BPM, SLOWEST_BPM, increasing
from cineflow.motion.fields import require_mask

#: Shortest and longest beat of the search, ms.
SHORTEST_BEAT_MS, LONGEST_BEAT_MS = 60_000.0 / FASTEST_BPM, 60_000.0 / SLOWEST_BPM
# Similarity falls within a beat and returns at its end. It must return by at least this much.
_LEAST_RETURN = 0.01
# Frames less similar than this do not show the same anatomy (the real clips: 0.68 and 0.92).
_LEAST_LIKENESS = 0.3
# Values of all frames that are converted at a time, and a grey level in the middle.
_PIECE, _MIDDLE = 1 << 21, np.float32(64.0)
# Variance, in squared grey levels, below which a frame shows nothing.
_FLAT_SQUARED = 0.05


@dataclass(frozen=True)
class BeatPair:
    """Two frames one beat apart.

    Attributes:
        start: Index of the first frame.
        end: Index of the most similar frame one beat later.
        similarity: Normalised correlation of the two pictures inside the sector, -1..1.
        shift_px: Shift (x, y) of the whole second picture against the first, whole pixels.
    """

    start: int
    end: int
    similarity: float
    shift_px: tuple[int, int]


def find_beat(
    frames: np.ndarray, times_ms: np.ndarray, sector: np.ndarray
) -> tuple[BeatPair | None, str]:
    """Finds the most similar pair of frames about one beat apart.

    The similarity of two frames falls with the time between them and returns after a beat. The lag
    of that return is the length of the beat. The most similar pair near that lag is returned.

    Args:
        frames: uint8 [T, H, W].
        times_ms: Frame times, [T].
        sector: bool [H, W]; only these pixels are compared.

    Returns:
        The pair and "", or None and the reason.

    Raises:
        ArgumentError: `frames` is not [T, H, W], not one time per frame, times that do not increase
            or are not finite, or a sector that is empty or has the wrong size.
    """
    if frames.ndim != 3 or len(frames) == 0:
        raise ArgumentError("frames [T >= 1, H, W]", str(list(frames.shape)))
    times = increasing("times_ms", times_ms)
    if len(times) != len(frames):
        raise ArgumentError(f"{len(frames)} times, one per frame", str(len(times)))
    sector = require_mask(sector, frames.shape[1:])
    similarity = _similarity(frames, sector)
    period_ms = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    by_lag = np.array([np.diag(similarity, lag).mean() for lag in range(len(frames))])
    lags = [
        lag
        for lag in range(2, len(frames) - 1)
        if SHORTEST_BEAT_MS <= lag * period_ms <= LONGEST_BEAT_MS
        and by_lag[lag] == by_lag[lag - 1 : lag + 2].max()
        and by_lag[lag] - by_lag[:lag].min() >= _LEAST_RETURN
        and by_lag[lag] >= _LEAST_LIKENESS
    ]
    if not lags:
        seconds = (times[-1] - times[0]) / 1000
        return None, f"no repeated beat in the clip's {seconds:.1f} s"
    beat = lags[int(np.argmax(by_lag[lags]))]
    near = range(max(2, beat - 2), min(len(frames) - 1, beat + 2) + 1)
    pairs = [(start, start + lag) for lag in near for start in range(len(frames) - lag)]
    start, end = max(pairs, key=lambda pair: similarity[pair])
    shift = picture_shift(frames[start], frames[end], sector)
    return BeatPair(start, end, float(similarity[start, end]), shift), ""


def point_closure(positions: np.ndarray, beat: BeatPair) -> float:
    """Mean distance between tracked points and the same points one beat later, px.

    For a dense displacement over one beat, see `cineflow.motion.metrics.loop_closure`.

    Args:
        positions: Tracked points, [T, P, 2] (x, y) px.
        beat: The two frames.

    Raises:
        ArgumentError: The wrong shape, a track that does not reach both frames, or a point that is
            not finite at one of them.
    """
    if positions.ndim != 3 or positions.shape[1] == 0 or positions.shape[2] != 2:
        raise ArgumentError("positions [T, P >= 1, 2]", str(list(positions.shape)))
    if not (0 <= beat.start < len(positions) and 0 <= beat.end < len(positions)):
        raise ArgumentError(
            f"positions at frames {beat.start} and {beat.end}", f"frames 0 to {len(positions) - 1}"
        )
    lost = ~np.isfinite(positions[[beat.start, beat.end]]).all(axis=(0, 2))
    if lost.any():
        raise ArgumentError(
            "finite positions at both frames",
            f"{np.count_nonzero(lost)} of {lost.size} points with NaN or infinite coordinates",
            "Exclude points that were lost, and report how many",
        )
    apart = positions[beat.end] - positions[beat.start]
    return float(np.hypot(apart[:, 0], apart[:, 1]).mean())


def _similarity(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Normalised correlation of every frame with every other, [T, T].

    The sector is taken in pieces, so that only a piece is ever held as f32.
    """
    count, inside = len(frames), np.flatnonzero(sector)
    flat = frames.reshape(count, -1)
    total, products = np.zeros(count), np.zeros((count, count))
    step = max(1, _PIECE // count)
    for start in range(0, len(inside), step):
        pixels = np.take(flat, inside[start : start + step], axis=1).astype(np.float32)
        pixels -= _MIDDLE  # small numbers keep more digits
        total += pixels.sum(axis=1)
        products += pixels @ pixels.T
    products -= np.outer(total, total) / len(inside)
    length = np.sqrt(np.maximum(np.diag(products), _FLAT_SQUARED * len(inside)))
    return np.asarray(products / np.outer(length, length))


def picture_shift(first: np.ndarray, second: np.ndarray, sector: np.ndarray) -> tuple[int, int]:
    """Translation (x, y) from `first` to `second`, whole pixels, by template matching.

    Args:
        first, second: Frames, [H, W].
        sector: bool [H, W]; its bounding rectangle is compared.

    Returns:
        (x, y) px; (0, 0) if the sector is too small to compare.

    Raises:
        ArgumentError: A sector that is empty or has the wrong size.
    """
    reach = max(4, min(first.shape) // 20)
    rows, columns = np.nonzero(require_mask(sector, first.shape))
    top, left = rows.min() + reach, columns.min() + reach
    bottom, right = rows.max() + 1 - reach, columns.max() + 1 - reach
    if bottom - top < 8 or right - left < 8:
        return 0, 0
    middle = first[top:bottom, left:right].astype(np.float32)
    around = second[top - reach : bottom + reach, left - reach : right + reach].astype(np.float32)
    scores = cv2.matchTemplate(around, middle, cv2.TM_CCOEFF_NORMED)
    _, _, _, (x, y) = cv2.minMaxLoc(scores)
    return int(x - reach), int(y - reach)
