"""The activation curve and the frame times of a phantom."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.checks import require_finite

_MOST_FRAMES = 10_000  # over three minutes at 50 per second; all of them are in memory at once

# (phase of the beat, activation): ejection, pause, early filling, diastasis, atrial kick.
# Between knots the curve is a smoothstep, so the speed is continuous and zero at each knot.
_KNOTS = ((0.0, 0.0), (0.36, 1.0), (0.42, 1.0), (0.68, 0.18), (0.85, 0.18), (1.0, 0.0))


@dataclass(frozen=True)
class Beat:
    """Timing of a cine: end-diastole at phase 0, end-systole at phase 0.36 of each beat.

    Attributes:
        heart_rate_bpm: Beats per minute.
        frame_rate_hz: Frames per second.
        beats: Number of beats recorded.
    """

    heart_rate_bpm: float = 60.0
    frame_rate_hz: float = 50.0
    beats: float = 1.0

    def __post_init__(self) -> None:
        require_finite(self)
        if not (self.heart_rate_bpm > 0 and self.frame_rate_hz > 0 and self.beats > 0):
            raise ArgumentError("a positive heart rate, frame rate and number of beats", repr(self))
        if not 2 <= self._count <= _MOST_FRAMES:
            raise ArgumentError(
                f"a cine of 2 to {_MOST_FRAMES} frames",
                f"{self._count:.6g}",
                "Change the number of beats or the frame rate",
            )

    @property
    def period_ms(self) -> float:
        """Duration of one beat, ms."""
        return 60_000.0 / self.heart_rate_bpm

    @property
    def frames(self) -> int:
        """Number of frames in the cine."""
        return int(self._count)

    @property
    def times_ms(self) -> np.ndarray:
        """Time of each frame, f64 [T], ms."""
        return np.arange(self.frames) * (1000.0 / self.frame_rate_hz)

    def activation(self, frame: int) -> float:
        """Contraction at `frame`: 0 at end-diastole, 1 at end-systole.

        Raises:
            ArgumentError: `frame` is outside the cine.
        """
        if not isinstance(frame, (int, np.integer)) or not 0 <= frame < self.frames:
            raise ArgumentError(f"a frame in 0..{self.frames - 1}", str(frame))
        phase = (self.times_ms[frame] / self.period_ms) % 1.0
        for (start, low), (stop, high) in pairwise(_KNOTS):
            if phase <= stop:
                s = (phase - start) / (stop - start)
                return low + (high - low) * s * s * (3.0 - 2.0 * s)
        return 0.0

    @property
    def end_diastoles(self) -> tuple[int, ...]:
        """The frame nearest to each beat's phase 0."""
        return self._nearest(0.0)

    @property
    def end_systoles(self) -> tuple[int, ...]:
        """The frame nearest to each beat's phase 0.36."""
        return self._nearest(_KNOTS[1][0])

    @property
    def _count(self) -> float:
        return float(np.floor(self.beats * self.period_ms * self.frame_rate_hz / 1000.0 + 1e-9))

    def _nearest(self, phase: float) -> tuple[int, ...]:
        starts = np.arange(np.ceil(self.beats)) + phase
        frames = np.rint(starts * self.period_ms * self.frame_rate_hz / 1000.0).astype(int)
        return tuple(int(frame) for frame in frames if frame < self.frames)
