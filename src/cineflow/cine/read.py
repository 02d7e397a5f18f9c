"""Read cines from a path. The file's first bytes and its suffix choose the reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from cineflow.cine.arrays import ARRAY_SUFFIXES, read_array_cine
from cineflow.cine.clip import Cine
from cineflow.cine.dicom import dicom_files, read_dicom
from cineflow.cine.errors import MissingFileError, SeveralCinesError, UnknownTypeError
from cineflow.cine.pictures import PICTURE_SUFFIXES, read_pictures
from cineflow.cine.video import is_container, read_video

_DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
_VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"}
_FORMATS = "a DICOM object, a video, .npz, NIfTI, .mhd, .nrrd, or a folder of frames"

Found = tuple[list[Cine], int]
#: A part that no file has: nothing is decoded.
_NO_PART = -1


def read_cine(
    path: str | Path,
    name: str = "",
    *,
    part: int | None = None,
    limit_bytes: int | None = None,
) -> Cine:
    """Read one cine: DICOM, a video, an array file, or a folder of frames (docs/files.md).

    Args:
        path: The clip. Its file name is not kept, because it is often the patient's name.
        name: Printable name without identity; "" names the clip by its pixels.
        part: Which cine of a file that holds several, counted from 0, in the order of the slices.
        limit_bytes: Most bytes of grey frames; None for `cineflow.cine.limits`' default.

    Raises:
        SeveralCinesError: The file holds several cines, and `part` does not name one of them.
        CineError: One of the types of `cineflow.cine.errors`, with a remedy.
    """
    cines, count = _read(Path(path), 0 if part is None else part, limit_bytes)
    if (part is None and count > 1) or not cines:
        raise SeveralCinesError(
            f"one of the {count} cines of this file, part 0 to {count - 1}",
            "no choice" if part is None else f"part {part}",
            f"Choose one: --part 0 to --part {count - 1}, or part=N in read_cine.",
        )
    return replace(cines[0], name=name) if name else cines[0]


def read_cines(path: str | Path, *, limit_bytes: int | None = None) -> list[Cine]:
    """Read every cine of a file or folder: one per slice of an enhanced MR or of a series.

    Args:
        path: The clip, as for `read_cine`.
        limit_bytes: Most bytes of grey frames of each.

    Raises:
        CineError: As `read_cine`.
    """
    return _read(Path(path), None, limit_bytes)[0]


def count_cines(path: str | Path) -> int:
    """How many cines a file or folder holds, without decoding one. They are part 0 to n - 1.

    Raises:
        CineError: As `read_cine`, for what the header shows.
    """
    return _read(Path(path), _NO_PART, None)[1]


def default_clip() -> Cine:
    """The real apical four-chamber clip in the pydicom wheel: 30 frames of 240x320 at 30 Hz.

    Its header has the regions of a larger parent clip, so lengths stay in pixels.
    """
    from pydicom.examples import get_path

    return read_cine(get_path("ybr_color"), name="apical four-chamber (pydicom example)")


def _read(path: Path, part: int | None, limit_bytes: int | None) -> Found:
    if path.is_dir():
        return _read_folder(path, part, limit_bytes)
    if path.exists() and not path.is_file():
        raise MissingFileError(
            f"a clip ({_FORMATS})", "a pipe, a socket or a device", "Give a file or a folder."
        )
    if not path.is_file():
        raise MissingFileError(f"a clip ({_FORMATS})", f"no file at {path}", "Check the path.")
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:132] == b"DICM" or path.suffix.lower() in _DICOM_SUFFIXES:
        return read_dicom([path], part, limit_bytes)
    read: Callable[[Path, int | None], Cine]
    if path.name.lower().endswith(ARRAY_SUFFIXES):
        read = read_array_cine
    elif is_container(start) or path.suffix.lower() in _VIDEO_SUFFIXES:
        read = read_video
    else:
        raise UnknownTypeError(
            _FORMATS,
            f"a file of type {path.suffix or '(no suffix)'}",
            "Export the clip as DICOM multi-frame or as a video.",
        )
    return _only(partial(read, path, limit_bytes), part)


def _read_folder(folder: Path, part: int | None, limit_bytes: int | None) -> Found:
    dicom = dicom_files(folder)
    if dicom:
        return read_dicom(dicom, part, limit_bytes)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        raise MissingFileError(
            f"a clip ({_FORMATS})",
            f"a folder at {folder} without DICOM files or pictures",
            "Check the path.",
        )
    return _only(partial(read_pictures, pictures, limit_bytes), part)


def _only(read: Callable[[], Cine], part: int | None) -> Found:
    return ([read()] if part in (None, 0) else []), 1
