"""End-diastole and end-systole from the diameter of the left ventricle over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError

#: Weights of the smoothing, and the shortest time between two equal phases. EchoNet-LVH has 25
#: frames; this is the same at 50 frames per second, and holds up to 120 beats per minute.
_WEIGHTS = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0
_APART_MS = 500.0

#: An end of the clip is a phase if it exceeds the inner ones by this share of the change.
_CLEAR = 0.05
#: A diameter that changes by less than this share of itself has no phases.
_LEAST_CHANGE = 0.01


@dataclass(frozen=True)
class Phases:
    """Frames of a clip at which the ventricle is largest and smallest.

    Attributes:
        ed: End-diastoles, in order; at least one.
        es: End-systoles, in order; at least one.
        whole: Whether both lie inside the clip. Otherwise the clip begins or ends at one of them,
            and a larger or smaller diameter may lie outside it.
    """

    ed: tuple[int, ...]
    es: tuple[int, ...]
    whole: bool


def find_phases(lvid: np.ndarray, times_ms: np.ndarray) -> Phases | None:
    """End-diastoles and end-systoles of a clip.

    The curve is smoothed over five frames. End-diastoles are its local maxima and end-systoles its
    local minima, the most marked first, at least 500 ms apart. The first and the last frame cannot
    be told from a slope, so they count only where no other frame does, or where they exceed all
    others clearly: a clip of one beat from R wave to R wave has its end-diastoles there.

    Args:
        lvid: Diameter, f64 [T], in any unit; NaN where a frame does not have one.
        times_ms: Time of each frame, f64 [T].

    Returns:
        The phases, or None where fewer than five frames have a diameter, or it changes by less
        than 1 %.

    Raises:
        ArgumentError: Not one time for each diameter.

    Source: EchoNet-LVH (Duffy et al. 2022) smooths and separates the peaks in this way.
    """
    values, times = np.asarray(lvid, np.float64), np.asarray(times_ms, np.float64)
    if values.ndim != 1 or values.shape != times.shape:
        raise ArgumentError("one time for each diameter", f"{values.shape} and {times.shape}")
    there = np.flatnonzero(np.isfinite(values))
    if len(there) < len(_WEIGHTS):
        return None
    if np.ptp(values[there]) <= _LEAST_CHANGE * np.abs(values[there]).max():
        return None
    padded = np.pad(values[there], len(_WEIGHTS) // 2, mode="edge")
    curve = np.convolve(padded, _WEIGHTS, mode="valid")
    ed, es = (_peaks(sign * curve, times[there]) for sign in (1.0, -1.0))
    ends = {0, len(curve) - 1}
    whole = all(found and not ends & set(found) for found in (ed, es))
    ed = ed or [int(curve.argmax())]
    es = es or [int(curve.argmin())]
    diastoles, systoles = (tuple(int(there[k]) for k in sorted(found)) for found in (ed, es))
    return Phases(diastoles, systoles, whole)


def _peaks(curve: np.ndarray, times: np.ndarray) -> list[int]:
    """Maxima in the upper half of the curve, the highest first, far enough apart.

    They are inner ones, and an end that is clearly higher than all of those.
    """
    inner = np.arange(1, len(curve) - 1)
    rising = curve[inner] > curve[inner - 1]
    high = curve[inner] > (curve.min() + curve.max()) / 2
    candidates = inner[rising & (curve[inner] >= curve[inner + 1]) & high]
    if candidates.size:
        clear = curve[candidates].max() + _CLEAR * np.ptp(curve)
        ends = np.array([0, len(curve) - 1])
        candidates = np.concatenate([candidates, ends[curve[ends] > clear]])
    found: list[int] = []
    for k in candidates[np.argsort(-curve[candidates], kind="stable")]:
        if all(abs(times[k] - times[other]) >= _APART_MS for other in found):
            found.append(int(k))
    return found
