"""Array files: .npz, NIfTI, .mhd/.mha and .nrrd, of images or volumes over time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.cine.assemble import Parts, assemble
from cineflow.cine.clip import Cine
from cineflow.cine.errors import DecodeError
from cineflow.cine.limits import check_size
from cineflow.errors import ArgumentError, CineError, MissingDependencyError

_ITK_SUFFIXES = (".mhd", ".mha", ".nrrd", ".nhdr")
#: Suffixes of array files.
ARRAY_SUFFIXES = (".npz", ".nii", ".nii.gz", *_ITK_SUFFIXES)
#: Time between frames of an array file that does not say it.
ASSUMED_PERIOD_MS = 50.0

LAYOUT = (
    "A .npz file has frames [T, H, W] or [T, D, H, W], times_ms [T] and spacing_mm ([slice,] row, "
    "column), as `cineflow phantom ventricle --out FILE.npz` writes it; NIfTI, .mhd and .nrrd have "
    "x, y, z and time."
)
_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}
_MS = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}


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
    read: Callable[[Path, int | None], dict[str, Any]] = _read_nifti
    if lower.endswith(".npz"):
        read = _read_npz
    elif lower.endswith(_ITK_SUFFIXES):
        read = _read_itk
    try:
        parts = read(path, limit_bytes)
        frames, notes = _grey(parts["frames"])
        times = parts.get("times_ms")
        if times is None:
            unit = "volume" if frames.ndim == 4 else "frame"
            times = ASSUMED_PERIOD_MS * np.arange(len(frames))
            notes.insert(
                0, f"The file has no times; {ASSUMED_PERIOD_MS:g} ms per {unit} are assumed."
            )
        spacing, sector = parts.get("spacing_mm"), parts.get("sector")
        return Stored(
            frames,
            np.asarray(times, np.float64),
            None if spacing is None else tuple(float(step) for step in np.ravel(spacing)),
            None if sector is None else np.asarray(sector),
            notes,
        )
    except ArgumentError as error:
        raise DecodeError(f"volumes with {error.wanted}", error.got, LAYOUT) from error


def _grey(stored: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The frames as uint8, and a note where they were scaled."""
    if stored.ndim not in (3, 4) or stored.dtype.kind not in "uif" or 0 in stored.shape:
        raise ArgumentError(
            "frames [T, D, H, W] or [T, H, W] of numbers", f"{stored.dtype} {list(stored.shape)}"
        )
    if stored.dtype == np.uint8:
        return np.ascontiguousarray(stored), []
    low = min(float(frame.min()) for frame in stored)
    high = max(float(frame.max()) for frame in stored)
    if not np.isfinite(high - low) or high == low:
        raise ArgumentError("finite grey levels that differ", f"{low:g} to {high:g}")
    grey = np.empty(stored.shape, np.uint8)
    for target, frame in zip(grey, stored, strict=True):
        target[:] = np.rint((frame.astype(np.float32) - low) * np.float32(255 / (high - low)))
    return grey, [f"Grey levels {low:g}..{high:g} were scaled to 0..255."]


def _check(shape: tuple[int, ...], limit_bytes: int | None) -> None:
    """Refuse stored frames [T, ..., H, W] that are too large, before they are read."""
    if len(shape) >= 3:
        count = int(np.prod([int(side) for side in shape[:-2]], dtype=object))
        check_size(count, int(shape[-2]), int(shape[-1]), limit_bytes)


def _read_npz(path: Path, limit_bytes: int | None) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            if "frames.npy" in archive.namelist():
                with archive.open("frames.npy") as member:
                    _check(_shape_of(io.BytesIO(member.read(4096))), limit_bytes)
        with np.load(path, allow_pickle=False) as file:
            known = ("frames", "times_ms", "spacing_mm", "sector")
            parts = {key: file[key] for key in known if key in file.files}
    except CineError:
        raise
    except Exception as error:  # NumPy and zipfile raise many types for a damaged file
        raise DecodeError(
            "a .npz file", f"a damaged one ({type(error).__name__})", LAYOUT
        ) from error
    if "frames" not in parts:
        raise ArgumentError("the array `frames`", "none")
    return parts


def _shape_of(member: io.BytesIO) -> tuple[int, ...]:
    """Shape that the header of a .npy member states."""
    version = np.lib.format.read_magic(member)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else (np.lib.format.read_array_header_2_0)
    )
    return tuple(read(member)[0])


def _read_nifti(path: Path, limit_bytes: int | None) -> dict[str, Any]:
    import nibabel  # takes a while to load; only this format needs it

    try:
        image: Any = nibabel.load(path)
        shape = tuple(int(side) for side in image.shape)
        if len(shape) == 4:
            _check(shape[::-1], limit_bytes)
            stored = np.asanyarray(image.dataobj)
        zooms = [float(zoom) for zoom in image.header.get_zooms()]
        length, time = image.header.get_xyzt_units()
    except CineError:
        raise
    except Exception as error:  # nibabel and zlib raise many types for a damaged file
        why = f"a damaged one ({type(error).__name__})"
        raise DecodeError("a NIfTI file", why, LAYOUT) from error
    if len(shape) != 4:
        raise ArgumentError("the axes x, y, z and time", f"{list(shape)}")
    parts: dict[str, Any] = {"frames": stored.transpose(3, 2, 1, 0)}
    return parts | _nifti_scales(zooms, {"length": length, "time": time}, shape[3])


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


def _read_itk(path: Path, limit_bytes: int | None) -> dict[str, Any]:
    """.mhd and .nrrd by SimpleITK: x, y, z, time; or x, y, time where a NRRD file says so."""
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingDependencyError(
            "SimpleITK, for .mhd and .nrrd files",
            "an environment without it",
            "pip install SimpleITK",
        ) from error

    try:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, spacing = reader.GetSize(), [float(step) for step in reader.GetSpacing()]
        _check(tuple(size[::-1]), limit_bytes)
        kinds = [
            reader.GetMetaData(key) if key in reader.GetMetaDataKeys() else ""
            for key in (f"NRRD_kinds[{axis}]" for axis in range(len(size)))
        ]
        timed = len(size) == 4 or (len(size) == 3 and kinds[2] in ("time", "list"))
        stored = SimpleITK.GetArrayFromImage(reader.Execute()) if timed else None
    except CineError:
        raise
    except Exception as error:  # ITK raises RuntimeError with its source's path in the text
        why = f"a damaged one ({type(error).__name__})"
        raise DecodeError("a .mhd or .nrrd file", why, LAYOUT) from error
    if stored is None:
        raise ArgumentError(
            "the axes x, y, z and time",
            f"{list(size)}: a single volume, or images whose third axis is not said to be time",
        )
    return {"frames": stored, "spacing_mm": spacing[: len(size) - 1][::-1]}
