"""Frame times and R waves from a DICOM header."""

from __future__ import annotations

import math

import numpy as np
from pydicom.dataset import Dataset

from cineflow.cine.timing import (
    FALLBACK_HZ,
    LONGEST_MS,
    SHORTEST_MS,
    evenly,
    is_plausible,
    usable_steps,
)

_FRAME_TIME = 0x00181063
_FRAME_TIME_VECTOR = 0x00181065


def frame_times(header: Dataset, count: int) -> tuple[np.ndarray, str]:
    """Times of `count` frames since the first, and a note if the header does not state them.

    The sources, in this order: the tag that FrameIncrementPointer names, FrameTime,
    FrameTimeVector, the two display rates, 30 Hz. A FrameTime outside `SHORTEST_MS`..`LONGEST_MS`
    counts as not stated. A FrameTimeVector is kept as it is, also with gaps, if its median is
    plausible and time never stands still.

    Returns:
        float64 [count] in ms, strictly increasing; and a sentence for the user, or "".
    """
    pointed = [_times_of(header, tag, count) for tag in increments(header)]
    found = next((times for times in pointed if times is not None), None)
    if found is not None:
        return found, ""
    for tag, name in ((_FRAME_TIME, "FrameTime"), (_FRAME_TIME_VECTOR, "FrameTimeVector")):
        times = _times_of(header, tag, count)
        if times is not None:
            return times, f"FrameIncrementPointer names no usable frame time; {name} was used."
    states = f"The file states no frame time of {SHORTEST_MS:g} to {LONGEST_MS:g} ms"
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = number_of(header.get(keyword))
        if rate is not None and is_plausible(1000 / rate):
            return evenly(1000 / rate, count), (
                f"{states}; {keyword} ({rate:g} Hz), a display rate, was used."
            )
    return evenly(1000 / FALLBACK_HZ, count), f"{states}; {FALLBACK_HZ:g} Hz was assumed."


def increments(header: Dataset) -> list[int]:
    """Tags that FrameIncrementPointer names."""
    value = header.get("FrameIncrementPointer")
    try:
        return [int(tag) for tag in ([value] if isinstance(value, int) else value or [])]
    except (TypeError, ValueError):
        return []


def r_waves(header: Dataset) -> np.ndarray | None:
    """R waves from R Wave Time Vector (0018,6060), ms since the first frame, float64 [N]; None
    where it is absent or unusable.
    """
    values = header.get("RWaveTimeVector")
    try:
        times = np.atleast_1d(np.asarray(values, np.float64))
    except (TypeError, ValueError):
        return None
    if values is None or not times.size or not np.isfinite(times).all():
        return None
    return times if (np.diff(times) > 0).all() else None


def number_of(value: object) -> float | None:
    """`value` as a positive finite number, or None."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _times_of(header: Dataset, tag: int, count: int) -> np.ndarray | None:
    element = header.get(tag)
    if element is None or tag not in (_FRAME_TIME, _FRAME_TIME_VECTOR):
        return None
    if tag == _FRAME_TIME:
        period = number_of(element.value)
        return None if period is None or not is_plausible(period) else evenly(period, count)
    try:
        steps = np.asarray(element.value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
    # Each entry is the time since the frame before, so the first entry has no meaning.
    if steps.size != count or not usable_steps(steps[1:]):
        return None
    return np.concatenate([[0.0], np.cumsum(steps[1:])])
