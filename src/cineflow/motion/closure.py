"""Loop closure: one beat later the heart is where it was, so tracked tissue should be, too.

It needs no truth, so it works on patients; but a closed loop is necessary, not sufficient (one that
says "nothing moves" closes every loop), and a probe that slides opens it rightly. The shift of the
whole picture is therefore measured beside it, without the tracker.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.beats import FASTEST_BPM, SLOWEST_BPM, increasing
from cineflow.motion.fields import require_mask

#: Shortest and longest beat that is looked for, ms.
SHORTEST_BEAT_MS, LONGEST_BEAT_MS = 60_000.0 / FASTEST_BPM, 60_000.0 / SLOWEST_BPM
# A beat shows as a return of similarity after the loss in between; this much return is one.
_LEAST_RETURN = 0.01
# ... and frames less alike than this show no common anatomy (the real clips read 0.68 and 0.92).
_LEAST_LIKENESS = 0.3


@dataclass(frozen=True)
class BeatPair:
    """Two frames one beat apart.

    Attributes:
        start: Index of the first frame.
        end: Index of the frame that looks most like it, one beat later.
        similarity: Normalised correlation of the two pictures inside the sector, -1..1.
        shift_px: (x, y) by which the whole second picture lies beside the first, whole pixels.
    """

    start: int
    end: int
    similarity: float
    shift_px: tuple[int, int]


def find_beat(
    frames: np.ndarray, times_ms: np.ndarray, sector: np.ndarray
) -> tuple[BeatPair | None, str]:
    """Find the best-matching pair of frames about one beat apart.

    The similarity of two frames falls with the time between them and returns at the beat; the lag
    of that return is the beat, and the best pair near it is taken.

    Args:
        frames: uint8 [T, H, W].
        times_ms: Frame times, [T].
        sector: bool [H, W]; only these pixels are compared.

    Returns:
        The pair, or None and the reason ("" with a pair).

    Raises:
        ArgumentError: No [T, H, W], not one time per frame, times that do not grow or are not
            finite, or a sector that is empty or of another size.
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
    """Mean distance in px between where points were and where they are one beat later.

    For a dense displacement over one whole beat, see `cineflow.motion.metrics.loop_closure`.

    Args:
        positions: Tracked points, [T, P, 2] (x, y) px.
        beat: The two frames.

    Raises:
        ArgumentError: Another shape, a track that does not reach the beat's two frames, or a point
            that is not finite at one of them.
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
            f"{np.count_nonzero(lost)} of {lost.size} points with NaN or infinite ones",
            "Leave out points that were lost, and say how many",
        )
    apart = positions[beat.end] - positions[beat.start]
    return float(np.hypot(apart[:, 0], apart[:, 1]).mean())


def _similarity(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Normalised correlation of every frame with every other, [T, T]."""
    pixels = frames[:, sector].astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-6)
    return np.asarray(pixels @ pixels.T)


def picture_shift(first: np.ndarray, second: np.ndarray, sector: np.ndarray) -> tuple[int, int]:
    """Whole-pixel (x, y) that best lays `first` onto `second`: the picture's own translation.

    Args:
        first, second: Frames, [H, W].
        sector: bool [H, W]; the rectangle around it is compared. One too small to lay over anything
            shows no shift: (0, 0).

    Raises:
        ArgumentError: An empty sector, or one of another size.
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
