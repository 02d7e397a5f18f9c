"""Whether beats come when they should: the last few intervals, judged as they arrive."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cineflow.motion.beats import ECTOPIC_SHARE, FASTEST_BPM, SLOWEST_BPM
from cineflow.served import Rhythm

#: Intervals that the usual one is the median of.
_REMEMBERED = 8


@dataclass(frozen=True)
class Intervals:
    """The beats so far, on one clock: ms where frame times are given, else frame numbers.

    Attributes:
        last: When the last beat began; None before the first.
        recent: The last intervals, oldest first, at most eight.
        milliseconds: Whether the clock is in ms: only then can a rate be absurd by itself.
        start: When the stream's first frame came: the wait for a first beat counts from there.
    """

    last: float | None = None
    recent: tuple[float, ...] = ()
    milliseconds: bool = False
    start: float | None = None

    def begin(self, now: float) -> tuple[Intervals, Rhythm]:
        """A beat begins `now`: the intervals with it, and how the one that ends was."""
        if self.last is None:
            return replace(self, last=now), Rhythm.UNKNOWN
        interval = now - self.last
        recent = (*self.recent, interval)[-_REMEMBERED:]
        return replace(self, last=now, recent=recent), self._judge(interval)

    def overdue(self, now: float) -> bool:
        """Whether the beat that began last, or the wait for a first one, goes on for too long."""
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
