"""Judges each interval between beats as it arrives, against the last few."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cineflow.motion.beats import ECTOPIC_SHARE, FASTEST_BPM, SLOWEST_BPM
from cineflow.served import Rhythm

#: Number of intervals in the median.
_REMEMBERED = 8


@dataclass(frozen=True)
class Intervals:
    """The beats so far. The clock is in ms if frame times are given, else in frame numbers.

    Attributes:
        last: Time at which the last beat began; None before the first.
        recent: The last intervals, oldest first, at most eight.
        milliseconds: True if the clock is in ms. Only then can a rate be implausible by itself.
        start: Time of the stream's first frame, from which the wait for a first beat counts.
    """

    last: float | None = None
    recent: tuple[float, ...] = ()
    milliseconds: bool = False
    start: float | None = None

    def begin(self, now: float) -> tuple[Intervals, Rhythm]:
        """Starts a beat at time `now`. Returns the new intervals and the rhythm of the last one."""
        if self.last is None:
            return replace(self, last=now), Rhythm.UNKNOWN
        interval = now - self.last
        recent = (*self.recent, interval)[-_REMEMBERED:]
        return replace(self, last=now, recent=recent), self._judge(interval)

    def overdue(self, now: float) -> bool:
        """True if the current beat, or the wait for a first one, has lasted too long at `now`."""
        since = self.start if self.last is None else self.last
        return since is not None and self._judge(now - since) is Rhythm.LATE

    def _judge(self, interval: float) -> Rhythm:
        if self.milliseconds and interval < 60_000.0 / FASTEST_BPM:
            return Rhythm.EARLY
        if self.milliseconds and interval > 60_000.0 / SLOWEST_BPM:
            return Rhythm.LATE
        if len(self.recent) < 2:
            return Rhythm.UNKNOWN
        off = interval / float(np.median(self.recent)) - 1.0
        if abs(off) <= ECTOPIC_SHARE:
            return Rhythm.REGULAR
        return Rhythm.LATE if off > 0 else Rhythm.EARLY
