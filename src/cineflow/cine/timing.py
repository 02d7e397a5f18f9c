"""Frame times from a DICOM header."""

from __future__ import annotations

import math

import numpy as np
from pydicom.dataset import Dataset

#: Rate assumed if a clip does not state one, Hz.
FALLBACK_HZ = 30.0
#: Shortest and longest plausible time per frame, ms: from ultrafast imaging to one frame a second.
SHORTEST_MS, LONGEST_MS = 1.0, 1000.0

_FRAME_TIME = 0x00181063
_FRAME_TIME_VECTOR = 0x00181065


def frame_times(header: Dataset, count: int) -> tuple[np.ndarray, str]:
    """Times of `count` frames since the first, and a note if the header does not state them.

    The sources, in this order: the tag that FrameIncrementPointer names, FrameTime,
    FrameTimeVector, the two display rates, 30 Hz. A time per frame outside
    `SHORTEST_MS`..`LONGEST_MS` counts as not stated.

    Returns:
        float64 [count] in ms, strictly increasing; and a sentence for the user, or "".
    """
    pointer = header.get("FrameIncrementPointer")
    pointed = _times_of(header, int(pointer), count) if isinstance(pointer, int) else None
    if pointed is not None:
        return pointed, ""
    for tag, name in ((_FRAME_TIME, "FrameTime"), (_FRAME_TIME_VECTOR, "FrameTimeVector")):
        times = _times_of(header, tag, count)
        if times is not None:
            return times, f"FrameIncrementPointer names no usable frame time; {name} was used."
    states = f"The file states no frame time of {SHORTEST_MS:g} to {LONGEST_MS:g} ms"
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = _number(header.get(keyword))
        if rate is not None and is_plausible(1000 / rate):
            return _evenly(1000 / rate, count), (
                f"{states}; {keyword} ({rate:g} Hz), a display rate, was used."
            )
    return _evenly(1000 / FALLBACK_HZ, count), f"{states}; {FALLBACK_HZ:g} Hz was assumed."


def is_plausible(step_ms: float | np.ndarray) -> bool:
    """True if every time per frame, ms, is one that a scanner or camera can have."""
    steps = np.asarray(step_ms)
    return bool(((steps >= SHORTEST_MS) & (steps <= LONGEST_MS)).all())


def _times_of(header: Dataset, tag: int, count: int) -> np.ndarray | None:
    element = header.get(tag)
    if element is None or tag not in (_FRAME_TIME, _FRAME_TIME_VECTOR):
        return None
    if tag == _FRAME_TIME:
        period = _number(element.value)
        return None if period is None or not is_plausible(period) else _evenly(period, count)
    try:
        steps = np.asarray(element.value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
    # Each entry is the time since the frame before, so the first entry has no meaning.
    if steps.size != count or not is_plausible(steps[1:]):
        return None
    return np.concatenate([[0.0], np.cumsum(steps[1:])])


def _evenly(period_ms: float, count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float64) * period_ms


def _number(value: object) -> float | None:
    """`value` as a positive finite number, or None."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
