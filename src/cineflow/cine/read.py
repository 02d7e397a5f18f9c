"""Read a `Cine` from a path. The file's first bytes and its suffix choose the reader."""

from __future__ import annotations

from pathlib import Path

from cineflow.cine.clip import Cine
from cineflow.cine.dicom import read_dicom
from cineflow.cine.errors import MissingFileError, UnknownTypeError
from cineflow.cine.video import read_video

_DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
_VIDEO_SUFFIXES = {".mp4", ".m4v", ".avi"}


def read_cine(path: str | Path, name: str = "") -> Cine:
    """Read a DICOM multi-frame object, an .mp4 or an .avi.

    Args:
        path: The clip. Its file name is not kept, because it is often the patient's name.
        name: Printable name without identity; "" names the clip by its pixels.

    Raises:
        CineError: One of the types of `cineflow.cine.errors`, with a remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            "a clip (.dcm, .mp4 or .avi)",
            f"no file at {path}" if not path.is_dir() else f"a folder at {path}",
            "Check the path.",
        )
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:132] == b"DICM" or path.suffix.lower() in _DICOM_SUFFIXES:
        return read_dicom(path, name)
    is_container = start[4:8] == b"ftyp" or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")
    if is_container or path.suffix.lower() in _VIDEO_SUFFIXES:
        return read_video(path, name)
    raise UnknownTypeError(
        "a DICOM object, an .mp4 or an .avi",
        f"a file of type {path.suffix or '(no suffix)'}",
        "Export the clip as DICOM multi-frame or as a video.",
    )


def default_clip() -> Cine:
    """The real apical four-chamber clip in the pydicom wheel: 30 frames of 240x320 at 30 Hz.

    Its header has the regions of a larger parent clip, so lengths stay in pixels.
    """
    from pydicom.examples import get_path

    return read_cine(get_path("ybr_color"), name="apical four-chamber (pydicom example)")
