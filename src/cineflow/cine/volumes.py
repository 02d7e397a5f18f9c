"""Sequences of volumes: the type `VolumeCine`, and the readers that load one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cineflow.cine.arrays import ARRAY_SUFFIXES, LAYOUT, Stored, cine_of, read_array
from cineflow.cine.clip import Cine, believed, not_believed
from cineflow.cine.errors import DecodeError, MissingFileError, SingleFrameError
from cineflow.cine.read import read_cine
from cineflow.errors import ArgumentError


@dataclass(frozen=True)
class Plane:
    """A slice of a volume [D, H, W], seen along one of its axes.

    Attributes:
        name: Its directions, to the right and down ("xy").
        along: The direction that it is seen along ("z").
        normal: The axis of the volume that has this direction.
        columns: The axis that runs to the right.
        rows: The axis that runs down.
    """

    name: str
    along: str
    normal: int
    columns: int
    rows: int

    @property
    def components(self) -> tuple[int, int]:
        """Positions of its directions in a vector (x, y, z): to the right, down."""
        return 2 - self.columns, 2 - self.rows

    def cut(self, values: np.ndarray, index: int) -> np.ndarray:
        """Slice `index` of values [..., D, H, W], [..., rows, columns]."""
        slice_ = np.take(values, index, axis=self.normal - 3)
        return slice_ if self.rows < self.columns else np.swapaxes(slice_, -1, -2)


#: The three planes that stand for a volume in pictures. The second lies to the right of the first,
#: with the same rows, and the third below it, with the same columns.
PLANES = (
    Plane("xy", "z", normal=0, columns=2, rows=1),
    Plane("zy", "x", normal=2, columns=0, rows=1),
    Plane("xz", "y", normal=1, columns=2, rows=0),
)


@dataclass(frozen=True, eq=False)
class VolumeCine:
    """A sequence of grey volumes. It holds no patient, study or file name.

    Attributes:
        frames: Grey levels, uint8 [T, D, H, W].
        times_ms: Time of each volume since the first, float64 [T], ms, strictly increasing.
        spacing_mm: Spacing (slice, row, column) in mm; None if lengths stay in pixels.
        spacing_reason: Where the spacing came from, or why it is None.
        sector: bool [D, H, W], True inside the scanned part.
        notes: What was converted or assumed, as sentences for the user.
        name: A name that is safe to print. It is never the file's name.

    Raises:
        ArgumentError: A wrong shape or dtype, fewer than two volumes, times that do not increase,
            or a spacing that is not three positive numbers.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    spacing_mm: tuple[float, float, float] | None
    spacing_reason: str
    sector: np.ndarray
    notes: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        frames, spacing = self.frames, self.spacing_mm
        if frames.ndim != 4 or frames.dtype != np.uint8 or 0 in frames.shape:
            raise ArgumentError(
                "frames: uint8 [T, D, H, W]", f"{frames.dtype.name} {list(frames.shape)}"
            )
        if self.sector.shape != frames.shape[1:] or self.sector.dtype != np.bool_:
            raise ArgumentError(
                f"sector: bool {list(frames.shape[1:])}",
                f"{self.sector.dtype.name} {list(self.sector.shape)}",
            )
        if spacing is not None and not (
            len(spacing) == 3 and all(np.isfinite(step) and step > 0 for step in spacing)
        ):
            raise ArgumentError("a spacing (slice, row, column) of positive numbers", repr(spacing))
        plane = self.plane()  # checks the times
        if not self.name:
            object.__setattr__(self, "name", plane.name.replace("clip", "volumes"))

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @property
    def size(self) -> tuple[int, int, int]:
        """(depth, height, width) of a volume, in voxels."""
        depth, height, width = self.frames.shape[1:]
        return int(depth), int(height), int(width)

    def middle(self, plane: Plane = PLANES[0]) -> int:
        """Index of the slice that stands for the volume in pictures."""
        return self.size[plane.normal] // 2

    def plane(self, plane: Plane = PLANES[0]) -> Cine:
        """The middle slice of one plane as a clip of images."""
        inside = plane.cut(self.sector, self.middle(plane))
        spacing = self.spacing_mm
        return Cine(
            np.where(inside, plane.cut(self.frames, self.middle(plane)), np.uint8(0)),
            self.times_ms,
            None if spacing is None else (spacing[plane.rows], spacing[plane.columns]),
            self.spacing_reason,
            inside,
            self.notes,
            self.name,
        )


def padded(volume: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    """One volume [D, H, W] with black voxels behind, below and on the right, up to `size`.

    Raises:
        ArgumentError: `size` is smaller than the volume.
    """
    if any(new < old for new, old in zip(size, volume.shape, strict=True)):
        raise ArgumentError(f"a size of {volume.shape} or more", str(size))
    if volume.shape == size:
        return volume
    return np.pad(volume, [(0, new - old) for new, old in zip(size, volume.shape, strict=True)])


def read_clip(
    path: str | Path, *, part: int | None = None, limit_bytes: int | None = None
) -> Cine | VolumeCine:
    """Read a clip of images (`read_cine`) or a sequence of volumes (an array file that holds them).

    Args:
        path: The clip.
        part: Which cine of a file that holds several.
        limit_bytes: Most bytes of grey frames.

    Raises:
        CineError, ArgumentError: As `read_cine` and `read_volumes`.
    """
    path = Path(path)
    if not path.name.lower().endswith(ARRAY_SUFFIXES) or path.is_dir():
        return read_cine(path, part=part, limit_bytes=limit_bytes)
    if not path.is_file():
        raise MissingFileError("a clip", f"no file at {path}", "Check the path.")
    stored = read_array(path, limit_bytes)
    return _volumes_of(stored, "") if _holds_volumes(stored) else cine_of(stored)


def read_volumes(path: str | Path, name: str = "", limit_bytes: int | None = None) -> VolumeCine:
    """Read a sequence of volumes.

    A .npz file has `frames` [T, D, H, W], and may have `times_ms` [T], `spacing_mm` (slice, row,
    column) and `sector` [D, H, W], as `cineflow phantom ventricle` writes it. A NIfTI, .mhd or
    .nrrd file has the axes x, y, z, time; they are taken as they are stored. Grey levels that are
    not uint8 are scaled to 0..255 over the whole sequence.

    Args:
        path: The file. Its name is not kept, because it is often the patient's name.
        name: Printable name without identity; "" names the sequence by its pixels.
        limit_bytes: Most bytes of grey frames.

    Raises:
        MissingFileError: There is no such file.
        DecodeError: It cannot be read, or holds something else.
        SingleFrameError: It has one volume.
        TooLargeError: The frames exceed the limit.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError("a file of volumes", f"no file at {path}", "Check the path.")
    return _volumes_of(read_array(path, limit_bytes), name)


def _holds_volumes(stored: Stored) -> bool:
    return stored.frames.ndim == 4 and stored.frames.shape[1] > 1


def _volumes_of(stored: Stored, name: str) -> VolumeCine:
    frames, sector = stored.frames, stored.sector
    spacing, reason = stored.spacing_mm, stored.spacing_reason
    positive = spacing is not None and all(step > 0 for step in spacing)  # others are refused
    if spacing is not None and positive and not believed(spacing):
        reason = not_believed(spacing, reason)
        spacing = None
    try:
        if frames.ndim != 4:
            raise ArgumentError("frames [T, D, H, W]", f"{frames.dtype} {list(frames.shape)}")
        if len(frames) < 2:
            raise SingleFrameError("two volumes or more", "one", "Motion needs a sequence.")
        return VolumeCine(
            frames,
            stored.times_ms,
            spacing,  # type: ignore[arg-type]
            reason,
            np.ones(frames.shape[1:], bool) if sector is None else sector,
            tuple(stored.notes),
            name,
        )
    except ArgumentError as error:
        raise DecodeError(f"volumes with {error.wanted}", error.got, LAYOUT) from error
