"""R waves: as the header states them, or found in a stored ECG (curve data, PS3.3-2004 C.10.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from cineflow.cine.dicom.times import r_waves

_GROUPS = range(0x5000, 0x5020, 2)
_TYPES = {"ECG": "ECG", "PHYSIO": "physiological trace"}
_SAMPLES = {0: "u2", 1: "i2", 2: "f4", 3: "f8", 4: "i4"}
_LEAST_HZ, _MOST_HZ = 50.0, 20_000.0
#: A trace counts as that of the clip if their lengths differ by at most this share, or time.
_SAME_SHARE, _SAME_MS = 0.1, 150.0

_BASELINE_S, _QRS_S, _REFRACTORY_S = 0.6, 0.1, 0.25
_ONSET = 0.3  # of the energy of a usual R wave
_LEAST_CONTRAST = 6.0  # of that energy to the median one; noise has about 2
_WIDEST_S = 0.1  # of an R wave, at half of its height; a pulse wave is wider


@dataclass(frozen=True, eq=False)
class _Trace:
    """A curve of the header: its name, samples, and their rate and start in ms."""

    name: str
    samples: np.ndarray
    hz: float
    start_ms: float

    @property
    def length_ms(self) -> float:
        return 1000 * len(self.samples) / self.hz


def triggers(header: Dataset, times_ms: np.ndarray) -> tuple[np.ndarray | None, str]:
    """R waves of a clip, and a note on where they came from.

    R Wave Time Vector (0018,6060) wins. Else they are found in a curve of type ECG or PHYSIO that
    has a time scale and the clip's length: only then is it known that both begin together.

    Args:
        header: The DICOM object.
        times_ms: Times of its frames, [T].

    Returns:
        float64 [N], ms since the first frame, or None; and a sentence for the user, or "".
    """
    stated = r_waves(header)
    if stated is not None:
        return stated, ""
    step_ms = float(np.median(np.diff(times_ms)))
    clip_ms = float(times_ms[-1]) + step_ms
    note = ""
    for kind in _TYPES:
        for trace in _traces(header, kind):
            if isinstance(trace, str):
                note = note or trace
                continue
            off = abs(trace.length_ms - clip_ms)
            if trace.start_ms or off > max(_SAME_SHARE * clip_ms, _SAME_MS):
                note = note or (
                    f"The stored {trace.name} lasts {trace.length_ms:.0f} ms from "
                    f"{trace.start_ms:.0f} ms on, and the clip {clip_ms:.0f} ms: how they belong "
                    "together is not known, so it was not used."
                )
                continue
            found = find_r_waves(trace.samples, trace.hz)
            if found.size:
                return found, f"R waves were found in the stored {trace.name}."
            note = note or f"No R waves were found in the stored {trace.name}."
    return None, note


def _traces(header: Dataset, kind: str) -> Iterator[_Trace | str]:
    """The curves of one type of data; in place of one that cannot be used, why."""
    for group in _GROUPS:
        if str(_value(header, group, 0x0020) or "").strip().upper() == kind:
            yield _trace(header, group, kind)


def _trace(header: Dataset, group: int, kind: str) -> _Trace | str:
    name = _TYPES[kind]
    unusable = f"A stored {name} has no time scale that can be read, so it was not used."
    sample = _SAMPLES.get(_number(_value(header, group, 0x0103)))
    dimensions = _number(_value(header, group, 0x0005))
    points = _number(_value(header, group, 0x0010))
    data = _value(header, group, 0x3000)
    if sample is None or points < 2 or not isinstance(data, bytes):
        return unusable
    order = ">" if header.original_encoding[1] is False else "<"
    values = np.frombuffer(data[: len(data) // int(sample[1]) * int(sample[1])], order + sample)
    values = values.astype(np.float64)
    described = [_number(one) for one in _list(_value(header, group, 0x0110))]
    # Interval spaced in time, with the values alone: what the standard calls descriptor 0\1.
    if dimensions != 2 or described[:2] != [0, 1] or len(values) < points:
        return unusable
    units = [str(one).strip().upper() for one in _list(_value(header, group, 0x0030))]
    start, step = (_number(next(iter(_list(_value(header, group, at))), None), 0)
                   for at in (0x0112, 0x0114))  # fmt: skip
    per_second = {"DPPS": float(step), "MSEC": 1000 / step if step else 0.0}
    hz = per_second.get(units[0] if units else "", 0.0)
    values = values[:points]
    if not _LEAST_HZ <= hz <= _MOST_HZ or not np.isfinite(values).all():
        return unusable
    start_ms = start / hz * 1000 if units[0] == "DPPS" else float(start)
    return _Trace(name, values, hz, start_ms)


def _value(header: Dataset, group: int, element: int) -> object:
    with suppress(Exception):  # pydicom raises many types on a damaged tag; it is as if absent
        return header[group, element].value
    return None


def _list(value: object) -> list[object]:
    if value is None or isinstance(value, str | bytes | int | float):
        return [] if value is None else [value]
    return list(value)  # type: ignore[call-overload]


def _number(value: object, otherwise: int = -1) -> int:
    return value if isinstance(value, int) else otherwise


def find_r_waves(samples: np.ndarray, hz: float) -> np.ndarray:
    """Times of the R waves in an ECG, ms since its first sample, float64 [N].

    The energy of the slope marks the QRS complexes, and each has its R wave where the trace is
    furthest from its baseline. Nothing is found in noise, nor in a trace with wider waves, such as
    a pulse or breathing.

    Args:
        samples: The trace, [M], in any unit and of either polarity.
        hz: Samples per second, 50 or more.

    Source:
        Pan and Tompkins 1985, without its adaptive thresholds.
    """
    size = len(samples)
    if size < hz / 2:
        return np.zeros(0)
    trace = samples - _moving_median(samples, round(_BASELINE_S * hz))
    window = max(1, round(_QRS_S * hz))
    slope = np.gradient(trace) ** 2
    energy = np.convolve(slope, np.ones(window) / window, "same")
    second = round(hz)
    peaks = [energy[at : at + second].max() for at in range(0, size, second)]
    usual = float(np.median(peaks))
    if not usual > _LEAST_CONTRAST * float(np.median(energy)):
        return np.zeros(0)
    above = np.flatnonzero(energy > _ONSET * usual)
    runs = np.split(above, np.flatnonzero(np.diff(above) > _REFRACTORY_S * hz) + 1)
    sign = _polarity(trace, runs)
    at = np.array([run[0] + int(np.argmax(sign * trace[run[0] : run[-1] + 1])) for run in runs])
    widths = np.array([_width(sign * trace, index) for index in at]) / hz
    if float(np.median(widths)) > _WIDEST_S:
        return np.zeros(0)
    return at * (1000 / hz)


def _moving_median(values: np.ndarray, width: int) -> np.ndarray:
    """Median around every sample; every tenth of the width is computed, the rest interpolated."""
    half, step = width // 2, max(1, width // 10)
    at = np.arange(0, len(values), step)
    medians = [np.median(values[max(0, one - half) : one + half + 1]) for one in at]
    return np.interp(np.arange(len(values)), at, medians)


def _polarity(trace: np.ndarray, runs: list[np.ndarray]) -> float:
    """1 where the complexes point up, -1 where they point down."""
    heights = [(trace[run[0] : run[-1] + 1].max(), -trace[run[0] : run[-1] + 1].min())
               for run in runs]  # fmt: skip
    up, down = np.median(np.array(heights), axis=0)
    return 1.0 if up >= down else -1.0


def _width(trace: np.ndarray, at: int) -> int:
    """Samples around `at` that are above half of its height."""
    low = np.flatnonzero(trace < trace[at] / 2)
    before, after = low[low < at], low[low > at]
    return int((after[0] if after.size else len(trace)) - (before[-1] if before.size else -1) - 1)
