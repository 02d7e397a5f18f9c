"""Sequences of volumes: the type `VolumeCine`, and the readers of .npz and NIfTI files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.cine.clip import Cine
from cineflow.cine.errors import DecodeError, MissingFileError, SingleFrameError
from cineflow.cine.read import read_cine
from cineflow.errors import ArgumentError

#: Suffixes of files of volumes. A clip of images has other suffixes.
VOLUME_SUFFIXES = (".npz", ".nii", ".nii.gz")

#: Time between volumes of a file that does not say it.
ASSUMED_PERIOD_MS = 50.0

_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}
_MS = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}


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

    def padded(self, size: tuple[int, int, int]) -> VolumeCine:
        """With black voxels behind, below and on the right, up to `size` (depth, height, width).

        Raises:
            ArgumentError: `size` is smaller than the volumes.
        """
        if any(new < old for new, old in zip(size, self.size, strict=True)):
            raise ArgumentError(f"a size of {self.size} or more", str(size))
        more = [(0, new - old) for new, old in zip(size, self.size, strict=True)]
        return replace(
            self,
            frames=np.pad(self.frames, [(0, 0), *more]),
            sector=np.pad(self.sector, more),
        )


def read_clip(path: str | Path) -> Cine | VolumeCine:
    """Read a clip of images (`read_cine`) or a sequence of volumes (.npz, .nii, .nii.gz).

    Raises:
        CineError, ArgumentError: As `read_cine` and `read_volumes`.
    """
    return (
        read_volumes(path) if Path(path).name.lower().endswith(VOLUME_SUFFIXES) else read_cine(path)
    )


def read_volumes(path: str | Path, name: str = "") -> VolumeCine:
    """Read a sequence of volumes.

    A .npz file has `frames` [T, D, H, W], and may have `times_ms` [T], `spacing_mm` (slice, row,
    column) and `sector` [D, H, W], as `cineflow phantom ventricle` writes it. A NIfTI file has the
    axes x, y, z, time; they are taken as they are stored. Grey levels that are not uint8 are scaled
    to 0..255 over the whole sequence.

    Args:
        path: The file. Its name is not kept, because it is often the patient's name.
        name: Printable name without identity; "" names the sequence by its pixels.

    Raises:
        MissingFileError: There is no such file.
        DecodeError: It cannot be read, or holds something else.
        SingleFrameError: It has one volume.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError("a file of volumes", f"no file at {path}", "Check the path.")
    read = _read_npz if path.suffix.lower() == ".npz" else _read_nifti
    try:
        parts, notes = read(path)
        frames, scaled = _grey(parts["frames"])
        if len(frames) < 2:
            raise SingleFrameError("two volumes or more", "one", "Motion needs a sequence.")
        if "times_ms" not in parts:
            parts["times_ms"] = ASSUMED_PERIOD_MS * np.arange(len(frames))
            notes.append(f"The file has no times; {ASSUMED_PERIOD_MS:g} ms per volume are assumed.")
        spacing = parts.get("spacing_mm")
        return VolumeCine(
            frames,
            np.asarray(parts["times_ms"], np.float64),
            None if spacing is None else tuple(float(step) for step in np.ravel(spacing)),  # type: ignore[arg-type]
            "the file's spacing" if spacing is not None else "the file has no spacing",
            np.asarray(parts.get("sector", np.ones(frames.shape[1:], bool))),
            tuple(notes + scaled),
            name,
        )
    except ArgumentError as error:
        raise DecodeError(f"volumes with {error.wanted}", error.got, _LAYOUT) from error


_LAYOUT = (
    "A .npz file has frames [T, D, H, W], times_ms [T] and spacing_mm (slice, row, column), as "
    "`cineflow phantom ventricle --out FILE.npz` writes it; a NIfTI file has x, y, z and time."
)


def _grey(stored: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The frames as uint8, and a note where they were scaled."""
    if stored.ndim != 4 or stored.dtype.kind not in "uif" or 0 in stored.shape:
        raise ArgumentError(
            "frames [T, D, H, W] of numbers", f"{stored.dtype} {list(stored.shape)}"
        )
    if stored.dtype == np.uint8:
        return np.ascontiguousarray(stored), []
    low, high = float(stored.min()), float(stored.max())
    if not np.isfinite(high - low) or high == low:
        raise ArgumentError("finite grey levels that differ", f"{low:g} to {high:g}")
    grey = np.rint((stored.astype(np.float32) - low) * np.float32(255 / (high - low)))
    return grey.astype(np.uint8), [f"Grey levels {low:g}..{high:g} were scaled to 0..255."]


def _read_npz(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            known = ("frames", "times_ms", "spacing_mm", "sector")
            parts = {key: file[key] for key in known if key in file.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise DecodeError("a .npz file", f"{type(error).__name__}: {error}", _LAYOUT) from error
    if "frames" not in parts:
        raise ArgumentError("the array `frames`", "none")
    return parts, []


def _read_nifti(path: Path) -> tuple[dict[str, Any], list[str]]:
    import nibabel  # takes a while to load; only this format needs it

    try:
        image: Any = nibabel.load(path)
        stored = np.asanyarray(image.dataobj)
        zooms = [float(zoom) for zoom in image.header.get_zooms()]
        length, time = image.header.get_xyzt_units()
    except Exception as error:  # nibabel and zlib raise many types for a damaged file
        raise DecodeError("a NIfTI file", f"{type(error).__name__}: {error}", _LAYOUT) from error
    if stored.ndim != 4:
        raise ArgumentError("the axes x, y, z and time", f"{list(stored.shape)}")
    parts: dict[str, Any] = {"frames": stored.transpose(3, 2, 1, 0)}
    parts |= _nifti_scales(zooms, {"length": length, "time": time}, stored.shape[3])
    return parts, []


def _nifti_scales(
    zooms: list[float], units: Mapping[str, str], count: int
) -> dict[str, np.ndarray]:
    """Times and spacing, where the header states their units."""
    scales: dict[str, np.ndarray] = {}
    if units["length"] in _MM and min(zooms[:3]) > 0:
        scales["spacing_mm"] = np.array(zooms[2::-1]) * _MM[units["length"]]
    if units["time"] in _MS and zooms[3] > 0:
        scales["times_ms"] = np.arange(count) * zooms[3] * _MS[units["time"]]
    return scales
