"""Times of frames: what is plausible, and where a clip has gaps."""

from __future__ import annotations

import numpy as np

#: Rate assumed if a clip does not state one, Hz.
FALLBACK_HZ = 30.0
#: Shortest and longest plausible time per frame, ms: from ultrafast imaging to one frame a second.
SHORTEST_MS, LONGEST_MS = 1.0, 1000.0
#: An interval this many times the median is a gap: frames are missing there.
GAP_RATIO = 1.75

#: No clip lasts longer, and no camera is faster: an interval beyond these is a damaged number.
_DAY_MS, _MICROSECOND_MS = 86_400_000.0, 1e-3

_MOST_NAMED = 5


def is_plausible(step_ms: float | np.ndarray) -> bool:
    """True if every time per frame, ms, is one that a scanner or camera can have."""
    steps = np.asarray(step_ms)
    return bool(((steps >= SHORTEST_MS) & (steps <= LONGEST_MS)).all())


def usable_steps(steps_ms: np.ndarray) -> bool:
    """True if the times between frames, ms, can be kept as they are.

    All must be possible, and most plausible. A few implausible ones are true gaps.
    """
    steps = np.asarray(steps_ms, np.float64)
    possible = steps.size > 0 and bool(are_possible(steps).all())
    return possible and is_plausible(np.median(steps))


def are_possible(steps_ms: np.ndarray) -> np.ndarray:
    """Which times between frames, ms, a clip can have: from a microsecond to a day; bool."""
    return np.asarray((steps_ms >= _MICROSECOND_MS) & (steps_ms <= _DAY_MS))  # False for NaN


def named(indices: np.ndarray) -> str:
    """The first few indices, as words for a note."""
    listed = ", ".join(map(str, indices[:_MOST_NAMED]))
    more = len(indices) - _MOST_NAMED
    return f"{listed} and {more} more" if more > 0 else listed


def evenly(period_ms: float, count: int) -> np.ndarray:
    """Times of `count` frames, float64 [count], ms."""
    return np.arange(count, dtype=np.float64) * period_ms


def gaps_in(times_ms: np.ndarray) -> np.ndarray:
    """Frames before which frames are missing, int [N]: index i stands for the pair (i - 1, i).

    A pair is a gap if its interval is `GAP_RATIO` times the median interval, or above
    `LONGEST_MS`.
    """
    steps = np.diff(times_ms)
    if not steps.size:
        return np.zeros(0, np.intp)
    return np.flatnonzero((steps > GAP_RATIO * np.median(steps)) | (steps > LONGEST_MS)) + 1


def gap_note(times_ms: np.ndarray) -> str:
    """A sentence about the gaps, or ""."""
    gaps = gaps_in(times_ms)
    if not gaps.size:
        return ""
    steps = np.diff(times_ms)
    listed = ", ".join(
        f"{index} to {index + 1} ({steps[index - 1]:.4g} ms)" for index in gaps[:_MOST_NAMED]
    )
    more = f" and {len(gaps) - _MOST_NAMED} more" if len(gaps) > _MOST_NAMED else ""
    return (
        f"The clip has {len(gaps)} gap{'s' if len(gaps) > 1 else ''} in time, where the usual "
        f"interval is {np.median(steps):.4g} ms: frames {listed}{more}. Motion across a gap is "
        "less certain."
    )
