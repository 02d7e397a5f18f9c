"""Frame times and R waves from a DICOM header."""

from __future__ import annotations

import math

import numpy as np
from pydicom.dataset import Dataset

from cineflow.cine.timing import (
    FALLBACK_HZ,
    LONGEST_MS,
    SHORTEST_MS,
    are_possible,
    evenly,
    is_plausible,
    named,
)

_FRAME_TIME = 0x00181063
_FRAME_TIME_VECTOR = 0x00181065


def frame_times(header: Dataset, count: int) -> tuple[np.ndarray, str]:
    """Times of `count` frames since the first, and a note if the header does not state them.

    The sources, in this order: the tag that FrameIncrementPointer names, FrameTime,
    FrameTimeVector, the two display rates, 30 Hz. A FrameTime outside `SHORTEST_MS`..`LONGEST_MS`
    counts as not stated. A FrameTimeVector is kept as it is, also with gaps, if its median is
    plausible. An interval in it that no clip can have, such as 0, is replaced by the median.

    Returns:
        float64 [count] in ms, strictly increasing; and a sentence for the user, or "".
    """
    notes: dict[str, None] = {}  # in order, each once
    pointed = increments(header)
    for tag in (*pointed, _FRAME_TIME, _FRAME_TIME_VECTOR):
        times, note = _times_of(header, tag, count)
        if times is None:
            notes |= {note: None} if note else {}
            continue
        if tag not in pointed:
            name = "FrameTime" if tag == _FRAME_TIME else "FrameTimeVector"
            used = f"FrameIncrementPointer names no usable frame time; {name} was used."
            note = f"{used} {note}".strip()
        return times, " ".join([*notes, note]).strip()
    states = f"The file states no frame time of {SHORTEST_MS:g} to {LONGEST_MS:g} ms"
    why = " ".join(notes)
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = number_of(header.get(keyword))
        if rate is not None and is_plausible(1000 / rate):
            return evenly(1000 / rate, count), (
                f"{why} {states}; {keyword} ({rate:g} Hz), a display rate, was used."
            ).strip()
    return evenly(1000 / FALLBACK_HZ, count), (
        f"{why} {states}; {FALLBACK_HZ:g} Hz was assumed."
    ).strip()


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


def _times_of(header: Dataset, tag: int, count: int) -> tuple[np.ndarray | None, str]:
    """Times by one tag, and a note; or None and why not, "" where the tag is absent."""
    element = header.get(tag)
    if element is None or tag not in (_FRAME_TIME, _FRAME_TIME_VECTOR) or element.value is None:
        return None, ""
    if tag == _FRAME_TIME:
        period = number_of(element.value)
        known = period is not None and is_plausible(period)
        return (evenly(period, count) if known and period is not None else None), ""
    try:
        steps = np.asarray(element.value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None, "FrameTimeVector has entries that are not numbers."
    if steps.size != count:
        return None, f"FrameTimeVector has {steps.size} entries, for {count} frames."
    steps = steps[1:]  # each is the time since the frame before, so the first has no meaning
    possible = are_possible(steps)
    if 2 * possible.sum() < steps.size or not is_plausible(np.median(steps[possible])):
        return None, "FrameTimeVector has intervals that no clip has."
    note = ""
    if not possible.all():
        usual = float(np.median(steps[possible]))
        frames = named(np.flatnonzero(~possible) + 1)
        note = (
            f"FrameTimeVector states intervals that no clip has, before frames {frames}; the usual "
            f"{usual:.4g} ms were taken there, so the clip may be longer or shorter."
        )
        steps = np.where(possible, steps, usual)
    return np.concatenate([[0.0], np.cumsum(steps)]), note
