"""Latency of a live stream, defined once for the demo, the benchmarks and scanner software.

A frame's latency runs from the call that sends it to its result being here. With a frame period, a
frame misses its deadline when its result comes after the next frame is due.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow_client.errors import CineflowClientError


@dataclass(frozen=True)
class LatencySummary:
    """The figures a cart's engineer asks for; milliseconds.

    Attributes:
        frames: How many frames were measured.
        p50_ms: Half of the frames were at least this fast. The same holds for p95 and p99.
        max_ms: The slowest frame.
        missed_deadlines: Frames whose latency exceeded the frame period; 0 without a period.
        frame_period_ms: Time between two frames; None where the stream was not paced.
    """

    frames: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    missed_deadlines: int
    frame_period_ms: float | None


class LatencyLog:
    """Collects one latency per frame.

    Args:
        frame_period_ms: Time between two frames, the deadline; None when frames come unpaced.
    """

    def __init__(self, frame_period_ms: float | None = None) -> None:
        if frame_period_ms is not None and not frame_period_ms > 0:
            raise CineflowClientError("a positive frame period in ms", repr(frame_period_ms))
        self.frame_period_ms = frame_period_ms
        self._each: list[float] = []

    def add(self, latency_ms: float) -> None:
        """Record one frame."""
        self._each.append(float(latency_ms))

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
            raise CineflowClientError("at least one recorded frame", "none")
        each = self.each_ms
        p50, p95, p99 = np.percentile(each, [50, 95, 99])
        period = self.frame_period_ms
        return LatencySummary(
            frames=len(each),
            p50_ms=float(p50),
            p95_ms=float(p95),
            p99_ms=float(p99),
            max_ms=float(each.max()),
            missed_deadlines=0 if period is None else int((each > period).sum()),
            frame_period_ms=period,
        )
