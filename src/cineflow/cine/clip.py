"""The Cine type: frames, times, spacing and sector of one clip, and no tag of the patient."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Cine:
    """A clip of grey frames, without the identity in its header: no patient, study or file name.

    Attributes:
        frames: Grey levels, uint8 [T, H, W]; 0 outside `sector`, with the text burned in there.
            Text inside it stays; where no sector was found, that is the whole frame (see `notes`).
        times_ms: Time of each frame since the first, float64 [T], ms, strictly increasing.
        spacing_mm: Pixel pitch (row, column) = (y, x) in mm, or None where lengths stay in pixels.
        spacing_reason: Where the spacing came from, or why there is none.
        sector: bool [H, W], True inside the scan sector.
        notes: What was converted, assumed or resized, as sentences for the user.
        name: A name that is safe to print: never the file's own.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    spacing_mm: tuple[float, float] | None
    spacing_reason: str
    sector: np.ndarray
    notes: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        frames, times = self.frames, self.times_ms
        if frames.ndim != 3 or frames.dtype != np.uint8 or frames.shape[0] < 2:
            raise ArgumentError(
                "frames: uint8 [T >= 2, H, W]", f"{frames.dtype.name} {list(frames.shape)}"
            )
        if times.shape != frames.shape[:1] or not (np.diff(times) > 0).all():
            raise ArgumentError(
                f"times_ms: {frames.shape[0]} strictly increasing times",
                f"{times.size} times, {np.array2string(times, threshold=4)}",
            )
        if self.sector.shape != frames.shape[1:] or self.sector.dtype != np.bool_:
            raise ArgumentError(
                f"sector: bool {list(frames.shape[1:])}",
                f"{self.sector.dtype.name} {list(self.sector.shape)}",
            )
        if not self.name:
            object.__setattr__(self, "name", f"clip-{_digest(frames)}")

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a frame, in pixels."""
        return int(self.frames.shape[1]), int(self.frames.shape[2])

    @property
    def frame_period_ms(self) -> float:
        """Median time between two frames, ms: the deadline of a live stream."""
        return float(np.median(np.diff(self.times_ms)))


def _digest(frames: np.ndarray) -> str:
    """Eight hex digits that name these pixels and tell nothing else about them."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()[:8]
