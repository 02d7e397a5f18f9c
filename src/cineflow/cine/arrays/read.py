"""An array file to grey frames, and those to a cine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cineflow.cine.arrays import itk
from cineflow.cine.arrays.grey import grey_of
from cineflow.cine.arrays.nifti import read_nifti
from cineflow.cine.arrays.npz import read_npz
from cineflow.cine.arrays.numbers import LAYOUT, Numbers
from cineflow.cine.assemble import Parts, assemble
from cineflow.cine.clip import Cine
from cineflow.cine.errors import DecodeError
from cineflow.errors import ArgumentError, CineflowError

#: Suffixes of array files.
ARRAY_SUFFIXES = (".npz", ".nii", ".nii.gz", *itk.SUFFIXES)
#: Time between frames of an array file that does not say it.
ASSUMED_PERIOD_MS = 50.0


@dataclass(eq=False)
class Stored:
    """The content of an array file.

    Attributes:
        frames: uint8 [T, H, W] or [T, D, H, W].
        times_ms: Time of each frame since the first, [T].
        spacing_mm: ([slice,] row, column) in mm, or None.
        sector: bool of a frame's shape, or None.
        notes: What was converted or assumed.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    spacing_mm: tuple[float, ...] | None
    sector: np.ndarray | None
    notes: list[str] = field(default_factory=list)

    @property
    def spacing_reason(self) -> str:
        return "the file has no spacing" if self.spacing_mm is None else "the file's spacing"


def read_array_cine(path: Path, limit_bytes: int | None = None) -> Cine:
    """Read an array file of images over time.

    Raises:
        DecodeError: It cannot be read, or holds volumes or a single image.
        TooLargeError: The frames exceed the limit.
    """
    return cine_of(read_array(path, limit_bytes))


def cine_of(stored: Stored) -> Cine:
    """Images over time as a cine."""
    if stored.frames.ndim == 4 and stored.frames.shape[1] == 1:
        stored.frames = stored.frames[:, 0]
        stored.sector = None if stored.sector is None else stored.sector[0]
        stored.spacing_mm = None if stored.spacing_mm is None else stored.spacing_mm[1:]
    if stored.frames.ndim != 3:
        raise DecodeError(
            "images over time",
            f"volumes {list(stored.frames.shape[1:])} over time",
            "cineflow.cine.read_clip and the commands read them as volumes.",
        )
    spacing = stored.spacing_mm
    try:
        given = None if spacing is None else (spacing[0], spacing[1])
        if spacing is not None and (len(spacing) != 2 or min(spacing) <= 0):
            raise ArgumentError("a spacing (row, column) of positive numbers", repr(spacing))
        if stored.sector is not None and stored.sector.shape != stored.frames.shape[1:]:
            raise ArgumentError("a sector of a frame's size", str(stored.sector.shape))
        reason = stored.spacing_reason
        return assemble(
            Parts(
                frames=stored.frames,
                times_ms=stored.times_ms,
                spacing=lambda sector: (given, reason),
                notes=stored.notes,
                sector=stored.sector,
            )
        )
    except ArgumentError as error:
        raise DecodeError(f"images with {error.wanted}", error.got, LAYOUT) from error


def read_array(path: Path, limit_bytes: int | None = None) -> Stored:
    """Read an array file.

    Raises:
        DecodeError: It cannot be read, or holds something else.
        TooLargeError: The frames exceed the limit.
        MissingDependencyError: .mhd or .nrrd without SimpleITK.
    """
    lower = path.name.lower()
    try:
        if lower.endswith(".npz"):
            kind = "a .npz file"
            numbers = read_npz(path)
        elif lower.endswith(itk.SUFFIXES):
            kind = "a .mhd or .nrrd file"
            numbers = itk.read_itk(path, limit_bytes)
        else:
            kind = "a NIfTI file"
            numbers = read_nifti(path)
        numbers.check(limit_bytes)
        return _stored(numbers)
    except ArgumentError as error:
        raise DecodeError(f"volumes with {error.wanted}", error.got, LAYOUT) from error
    except (CineflowError, MemoryError):
        raise
    except Exception as error:  # NumPy, zlib, nibabel and ITK raise many types for a damaged file
        why = f"a damaged one ({type(error).__name__})"
        raise DecodeError(kind, why, LAYOUT) from error


def _stored(numbers: Numbers) -> Stored:
    frames, notes = grey_of(numbers)
    about = numbers.about
    times, spacing, sector = (about.get(name) for name in ("times_ms", "spacing_mm", "sector"))
    if times is None:
        unit = "volume" if frames.ndim == 4 else "frame"
        times = ASSUMED_PERIOD_MS * np.arange(len(frames))
        notes.insert(0, f"The file has no times; {ASSUMED_PERIOD_MS:g} ms per {unit} are assumed.")
    return Stored(
        frames,
        np.asarray(times, np.float64),
        None if spacing is None else tuple(float(step) for step in np.ravel(spacing)),
        None if sector is None else np.asarray(sector),
        notes,
    )
