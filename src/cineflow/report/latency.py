"""Latency of a live stream, in the figures a scanner's engineer asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Latency:
    """Latencies of a clip that was paced at its own rate; shown as they are given.

    Attributes:
        each_ms: From push to result, per frame, [T].
        period_ms: Time between two frames: the deadline.
        p50_ms: Half of the frames were at least this fast. The same holds for p95 and p99.
        max_ms: The slowest frame.
        missed: Frames whose result came after the next frame was due.
        fps: What the same stream sustains unpaced, frames per second.
        warm_up_frames: Frames that were streamed before and are not counted.
    """

    each_ms: np.ndarray
    period_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    missed: int
    fps: float
    warm_up_frames: int = 0

    def __post_init__(self) -> None:
        if self.each_ms.ndim != 1 or self.each_ms.size == 0:
            raise ArgumentError("a latency per frame", f"shape {self.each_ms.shape}")
