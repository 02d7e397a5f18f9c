"""Whether the process of a model holds the rates and budgets that its streams declare.

Streams take fair turns (turns.py). So a frame waits, at the longest, for one frame of each other
live stream, and streams hold together if their shares of one worker's time add up to less than all
of it; more workers only make it better. Both follow from the times that this process has measured
itself. The way from the client and back is not in them, and neither are other models and other
programs.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cineflow.errors import ArgumentError, CineflowError
from cineflow.runtime import Bundle
from cineflow.runtime.engine import Engine
from cineflow.runtime.probing import read_probes
from cineflow.runtime.stream import Stream
from cineflow.served import BUDGET, LATE_FRAMES, PERIOD, Deadline

_LONGEST_US = 3_600_000_000
#: Frames of a stream from which on its own times count, and those that are kept.
_ENOUGH, _KEPT = 8, 64
#: A stream that declared nothing counts with its own rate, until it is silent for so long.
_SILENT_S = 2.0
#: Share of the time that streams may take together. The rest is for what varies.
MOST_LOAD = 0.9
#: A frame that computes for that many budgets hangs; never sooner than `LEAST_HANG_S`.
HANG_BUDGETS, LEAST_HANG_S = 100, 2.0


class _Pace:
    """What is known of one live stream."""

    def __init__(self, period_s: float, budget_s: float) -> None:
        self.period_s, self.budget_s = period_s, budget_s  # 0: not declared
        self.late_frames = 0
        self.frames = 0
        self.took_s = 0.0  # 95th percentile
        self._took: deque[float] = deque()
        self._ordered: list[float] = []  # the same, from the shortest to the longest
        self._came: deque[float] = deque(maxlen=_KEPT)

    def add(self, took_s: float, now: float) -> None:
        self.frames += 1
        self._came.append(now)
        if self.frames == 1:  # the first one of a pair is not tracked
            return
        if len(self._took) == _KEPT:
            del self._ordered[bisect.bisect_left(self._ordered, self._took.popleft())]
        self._took.append(took_s)
        bisect.insort(self._ordered, took_s)
        self.took_s = _high(self._ordered)

    def per_s(self, now: float) -> float:
        """Frames per second: as declared, or as they come."""
        if self.period_s:
            return 1.0 / self.period_s
        if len(self._came) < 2 or now - self._came[-1] > _SILENT_S:
            return 0.0
        return (len(self._came) - 1) / max(self._came[-1] - self._came[0], 1e-6)


class Deadlines:
    """The pace of the live streams of one model.

    A stream is forgotten with its object. Any thread may use this.

    Args:
        late: Called with the number of frames that were late.
        clock: Seconds that only grow.
    """

    def __init__(
        self, late: Callable[[int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._late = late
        self._clock = clock
        self._lock = threading.RLock()
        self._per_pixel: deque[float] = deque(maxlen=_KEPT)
        self._paces: weakref.WeakKeyDictionary[Stream, _Pace] = weakref.WeakKeyDictionary()

    def note(self, pixels: int, took_s: float) -> None:
        """A frame took that long, of whatever stream: a measure for those that have none yet."""
        with self._lock:
            self._per_pixel.append(took_s / pixels)

    def begin(self, stream: Stream, parameters: Mapping[str, Any]) -> None:
        """A stream starts, with the parameters of its first request.

        Raises:
            ArgumentError: It declares a rate without a budget, or what is not a time.
        """
        with self._lock:
            period, budget = parameters.get(PERIOD), parameters.get(BUDGET)
            if period is None and budget is None:
                self._paces[stream] = _Pace(0.0, 0.0)
                return
            if not all(type(one) is int and 0 < one <= _LONGEST_US for one in (period, budget)):
                raise ArgumentError(
                    f"`{PERIOD}` and `{BUDGET}` from 1 to {_LONGEST_US} us, or neither",
                    f"{period!r} and {budget!r}",
                    "The period is the time from one frame to the next.",
                )
            assert period is not None
            assert budget is not None
            self._paces[stream] = _Pace(1e-6 * period, 1e-6 * budget)

    def says(self, stream: Stream, pixels: int, parameters: Mapping[str, Any]) -> Deadline | None:
        """How a stream stands to what it declared; None if it declared nothing.

        Args:
            stream: The stream.
            pixels: Of its frames.
            parameters: Of the request. A client says with a frame how many were late so far.
        """
        with self._lock:
            pace = self._paces.get(stream)
            if pace is None or not pace.budget_s:
                return None
            told = parameters.get(LATE_FRAMES)
            if type(told) is int and pace.late_frames < told <= pace.frames:
                self._count(pace, told - pace.late_frames)
            now = self._clock()
            own_s = self._time_of(pace, pixels)
            if own_s is None:
                return Deadline(None, math.nan, 0.0, pace.late_frames)
            paces = [(one, one.took_s) for one in self._paces.values() if one is not pace]
            load = own_s * pace.per_s(now) + sum(took * one.per_s(now) for one, took in paces)
            longest_s = own_s + sum(took for one, took in paces if one.per_s(now))
            holds = longest_s <= pace.budget_s and load <= MOST_LOAD
            return Deadline(holds, 1e3 * longest_s, load, pace.late_frames)

    def took(self, stream: Stream, pixels: int, took_s: float) -> None:
        """A frame of a stream was computed in that time, with its results."""
        with self._lock:
            pace = self._paces.get(stream)
            if pace is None:
                return
            pace.add(took_s, self._clock())
            if pace.frames > 1:
                self.note(pixels, took_s)
            if pace.budget_s and took_s > pace.budget_s:
                self._count(pace, 1)

    def hang_s(self, stream: Stream) -> float:
        """Seconds after which a frame of a stream hangs; infinite where nothing is declared.

        The first frames are excused: an engine may still prepare itself for their size.
        """
        with self._lock:
            pace = self._paces.get(stream)
            if pace is None or not pace.budget_s or pace.frames < 2:
                return math.inf
            return max(HANG_BUDGETS * pace.budget_s, LEAST_HANG_S)

    def _time_of(self, pace: _Pace, pixels: int) -> float | None:
        if pace.frames > _ENOUGH:
            return pace.took_s
        if self._per_pixel:
            return _high(sorted(self._per_pixel)) * pixels
        return pace.took_s or None

    def _count(self, pace: _Pace, more: int) -> None:
        pace.late_frames += more
        self._late(more)


def measure(deadlines: Deadlines, bundle: Bundle, engine: Engine) -> None:
    """Measure the frames of the known results of a bundle, so that the first stream has a figure.

    A bundle without them is measured by its first streams.
    """
    for probes in read_probes(bundle)[-1:]:
        if probes.frames is None:
            continue
        stream = Stream(engine, bundle.spec)
        for position, (frame, given) in enumerate(probes.steps()):
            began_s = time.perf_counter()
            try:
                stream.push(frame, given=given)
            except CineflowError:  # sizes that the engine was not built for
                return
            if position:
                deadlines.note(frame.size, time.perf_counter() - began_s)


def _high(ordered: Sequence[float]) -> float:
    """The 95th percentile, without interpolation."""
    return ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)))]
