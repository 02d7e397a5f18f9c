"""Latency of a live stream, defined once for the demo, the benchmarks and scanner software.

The latency of a frame is the time from the call that sends it to the arrival of its result. With a
frame period, a frame misses its deadline if its result arrives after the next frame is due by the
source's clock. The time that a frame waits because the previous one was slow counts against its
deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cineflow_client.errors import CineflowClientError


@dataclass(frozen=True)
class LatencySummary:
    """The latency of a stream in figures, in milliseconds. The report takes this type as it is.

    Attributes:
        frames: How many frames were measured.
        p50_ms: Half of the frames were at least this fast. p95 and p99 are defined likewise.
        max_ms: The slowest frame.
        missed_deadlines: Frames whose result came more than a period after they were due; 0 without
            a period.
        frame_period_ms: Time between two frames; None if the stream was not paced.
        each_ms: Every latency in order, float64 [frames].
    """

    frames: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    missed_deadlines: int
    frame_period_ms: float | None
    each_ms: np.ndarray = field(repr=False, compare=False)


@dataclass(frozen=True)
class ServerTimes:
    """Where the server's time went, by its own clock; sums since it started.

    Attributes:
        requests: Requests that succeeded.
        queue_s: Their time in the queue, s.
        model_s: Their time in the model, with the copies in and out, s.
    """

    requests: int
    queue_s: float
    model_s: float


class LatencyLog:
    """Collects one latency per frame.

    Args:
        frame_period_ms: Time between two frames, the deadline; None if frames come unpaced.

    Raises:
        CineflowClientError: The period is not a positive number.
    """

    def __init__(self, frame_period_ms: float | None = None) -> None:
        if frame_period_ms is not None and not frame_period_ms > 0:
            raise CineflowClientError(
                "a positive frame period in ms",
                repr(frame_period_ms),
                "Leave it out if frames come unpaced.",
            )
        self.frame_period_ms = frame_period_ms
        self._each: list[float] = []
        self._missed = 0

    def add(self, latency_ms: float, waited_ms: float = 0.0) -> None:
        """Record one frame.

        Args:
            latency_ms: From the call that sent it to the arrival of its result.
            waited_ms: From when the source had it ready to the call that sent it. This counts
                against the deadline, but not in the latency.
        """
        self._each.append(float(latency_ms))
        period = self.frame_period_ms
        late = period is not None and latency_ms + waited_ms > period
        self._missed += int(late)  # an int, not NumPy's bool: summaries go into JSON

    def __len__(self) -> int:
        return len(self._each)

    @property
    def each_ms(self) -> np.ndarray:
        """Every latency in order, float64 [frames]."""
        return np.array(self._each)

    def summary(self) -> LatencySummary:
        """The figures so far. Percentiles are interpolated linearly, as NumPy does.

        Raises:
            CineflowClientError: No frame was recorded.
        """
        if not self._each:
            raise CineflowClientError("at least one recorded frame", "none", "Call add() first.")
        each = self.each_ms
        p50, p95, p99 = np.percentile(each, [50, 95, 99])
        return LatencySummary(
            frames=len(each),
            p50_ms=float(p50),
            p95_ms=float(p95),
            p99_ms=float(p99),
            max_ms=float(each.max()),
            missed_deadlines=self._missed,
            frame_period_ms=self.frame_period_ms,
            each_ms=each,
        )
