"""The Cine type: frames, times, spacing and sector of one clip, without patient data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from cineflow.cine.timing import gaps_in
from cineflow.errors import ArgumentError

#: Spacing that a picture of the body can have, mm; and how much its axes may differ.
_SPACING_MM, _MOST_UNEVEN = (0.001, 100.0), 100.0


def believed(spacing_mm: tuple[float, ...] | None) -> bool:
    """Whether a picture or a volume of the body can have such a spacing, mm; True for none."""
    if spacing_mm is None:
        return True
    least, most = min(spacing_mm), max(spacing_mm)  # NaN fails the comparisons
    return _SPACING_MM[0] <= least <= most <= _SPACING_MM[1] and most <= _MOST_UNEVEN * least


def not_believed(spacing_mm: tuple[float, ...], source: str) -> str:
    """The reason why lengths stay in pixels."""
    words = " x ".join(f"{step:.4g}" for step in spacing_mm)
    return f"{source} states {words} mm per pixel, which was not believed: pixels only"


@dataclass(frozen=True, eq=False)
class Cine:
    """A clip of grey frames. It holds no patient, study or file name.

    Attributes:
        frames: Grey levels, uint8 [T, H, W]; 0 outside `sector`, which also blanks text burned in
            there. Text inside the sector stays visible. If no sector was found, the sector is the
            whole frame and `notes` says so.
        times_ms: Time of each frame since the first, float64 [T], ms, strictly increasing.
        spacing_mm: Pixel spacing (row, column) = (y, x) in mm; None if lengths stay in pixels.
        spacing_reason: Where the spacing came from, or why it is None.
        sector: bool [H, W], True inside the scan sector.
        notes: What was converted, assumed or resized, as sentences for the user.
        name: A name that is safe to print. It is never the file's name.
        triggers_ms: R waves on the clock of `times_ms`, float64 [N], ascending, from the file; they
            may lie before the first frame. None if the file has none.
        burned_in: What the file says about text burned into its pixels, for the provenance of a
            report; "" where the format cannot say it.
        stored: Where each frame is stored, int64 [T], from 0: its number in the file, or of a
            series of single frames that of its file in `dicom_files`. None for 0 to T - 1.

    Raises:
        ArgumentError: A wrong shape or dtype, fewer than two frames, times that do not increase, or
            not one `stored` for each frame.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    spacing_mm: tuple[float, float] | None
    spacing_reason: str
    sector: np.ndarray
    notes: tuple[str, ...] = ()
    name: str = ""
    triggers_ms: np.ndarray | None = None
    burned_in: str = ""
    stored: np.ndarray | None = None

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
        if self.stored is not None and self.stored.shape != times.shape:
            raise ArgumentError(f"stored: {times.size} numbers", f"{list(self.stored.shape)}")
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
        """Median time between frames, ms: the deadline of a live stream."""
        return float(np.median(np.diff(self.times_ms)))

    @property
    def stored_at(self) -> np.ndarray:
        """`stored`, also where it is None, int64 [T]."""
        return np.arange(len(self)) if self.stored is None else self.stored

    @property
    def gaps(self) -> np.ndarray:
        """Frames before which frames are missing, int [N]: i stands for the pair (i - 1, i)."""
        return gaps_in(self.times_ms)


def _digest(frames: np.ndarray) -> str:
    """Eight hex digits of the pixels' SHA-256: a name that reveals nothing about the patient."""
    return hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()[:8]
