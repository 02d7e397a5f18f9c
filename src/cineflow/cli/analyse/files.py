"""Which clips there are, and the key by which the result of each is found again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import cineflow
from cineflow.cine import MissingFileError
from cineflow.cine.pictures import PICTURE_SUFFIXES
from cineflow.cli.analyse.outputs import Wanted
from cineflow.cli.analyse.wall_file import SUFFIX, Drawn, read_wall
from cineflow.errors import ArgumentError
from cineflow.motion.strain import Convention

#: Suffixes that are never clips; others are left to the readers.
_NOT_CLIPS = {".json", ".csv", ".txt", ".html", ".md", ".xml", ".pdf"}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Settings:
    """What is done with every clip.

    Attributes:
        drawn: What the user drew; a file `CLIP.wall.json` next to a clip wins.
        given: A .npz file with the model's further inputs.
        convention: Of the strain.
        wanted: What is written.
    """

    drawn: Drawn = field(default_factory=Drawn)
    given: Path | None = None
    convention: Convention = "lagrangian"
    wanted: Wanted = field(default_factory=Wanted)


def clips_of(paths: Sequence[Path]) -> list[Path]:
    """The clips among files and folders, those of a folder by name.

    A folder is one clip if it holds the single frames of an MR series, or pictures and nothing
    else. Of other folders, every file that can be a clip is one, and so on in the folders below.
    Links to folders are not followed. What cannot be read (a pipe, a link that leads nowhere, a
    folder without permission) is in the list, so that the table says what became of it.

    Raises:
        MissingFileError: A path leads nowhere.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(_below(path))
        elif path.exists():
            found.append(path)
        else:
            raise MissingFileError("a clip or a folder", f"nothing at {path}", "Check the path.")
    return list(dict.fromkeys(found))


def _below(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
        kinds = {one: _kind(one) for one in entries}
    except PermissionError:
        return [folder]
    files = [one for one in entries if kinds[one] == "file" and _may_be_a_clip(one)]
    others = [one for one in entries if kinds[one] == "other" and _may_be_a_clip(one)]
    found = [*([folder] if _is_one_clip(files) else files), *others]
    for one in entries:
        if kinds[one] == "folder":
            found += _below(one)
    return found


def _kind(path: Path) -> Literal["file", "folder", "linked folder", "other"]:
    """What lies at a path; "other" is a pipe, a socket, a device, or a link that leads nowhere.

    Raises:
        PermissionError: Nothing in its folder may be looked at.
    """
    if path.is_file():
        return "file"
    if path.is_dir():
        return "linked folder" if path.is_symlink() else "folder"
    return "other"


def _may_be_a_clip(path: Path) -> bool:
    return not (
        path.name.startswith(".")
        or path.suffix.lower() in _NOT_CLIPS
        or path.name.upper() == "DICOMDIR"
    )


def _is_one_clip(files: Sequence[Path]) -> bool:
    """Whether the files of a folder are the frames of one clip. Stops at the first that is not."""
    if len(files) < 2:
        return False
    if all(path.suffix.lower() in PICTURE_SUFFIXES for path in files):
        return True
    return all(_is_frame_of_mr(path) for path in files)


def _is_frame_of_mr(path: Path) -> bool:
    import pydicom

    try:
        with no_warnings():
            header = pydicom.dcmread(
                path,
                stop_before_pixels=True,
                specific_tags=["SOPClassUID", "Modality", "NumberOfFrames"],
            )
        of_mr = header.get("Modality") == "MR" or str(header.get("SOPClassUID")) == _MR_IMAGE
        return of_mr and int(header.get("NumberOfFrames") or 1) == 1
    except Exception:  # not DICOM, or damaged: the reader says which
        return False


#: MR Image Storage: one frame in each file.
_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def drawn_in(path: Path, settings: Settings, part: int | None) -> Drawn:
    """What the user drew in a clip: the file next to it, otherwise that of the settings.

    Args:
        path: The clip.
        settings: What is done with every clip.
        part: Which cine of a file that holds several; its wall is in `CLIP.partN.wall.json`.

    Raises:
        ArgumentError: The wall's file is something else, or one wall is given for several cines.
    """
    path = path.absolute()  # "." has no name
    name = path.name if part is None else f"{path.name}.part{part}"
    own = path.with_name(name + SUFFIX)
    if os.path.lexists(own):
        return read_wall(own)
    shared = path.with_name(path.name + SUFFIX)
    if part is not None and (settings.drawn.view or os.path.lexists(shared)):
        raise ArgumentError(
            f"a wall for each cine of this file, this one's in CLIP.part{part}{SUFFIX}",
            "one wall for several cines",
        )
    return settings.drawn


def key_of(path: Path, bundle_hash: str, settings: Settings, part: int | None = None) -> str:
    """Name of a clip's folder. What has the same name has the same result.

    It has three hashes: of the SOP instance UID (of a series, the series instance UID), of the
    bytes, and of all that was asked for: the model, the wall, further inputs, the convention, the
    files wanted and cineflow's version. None of them shows the UID.

    Args:
        path: The clip.
        bundle_hash: Of the model.
        settings: What is done.
        part: Which cine of a file that holds several.

    Raises:
        ArgumentError: As `drawn_in`.
        OSError: The file cannot be read.
    """
    asked = {
        "bundle": bundle_hash,
        "software": cineflow.__version__,
        "drawn": asdict(drawn_in(path, settings, part)),
        "given": None if settings.given is None else _bytes_of([settings.given]),
        "convention": settings.convention,
        "wanted": asdict(settings.wanted),
    }
    asked_hash = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    files = _files_of(path)
    content = _bytes_of(files)
    uid = _uid_of(files)
    instance = content if uid is None else hashlib.sha256(uid.encode()).hexdigest()
    key = f"{instance[:16]}-{content[:8]}-{asked_hash[:12]}"
    return key if part is None else f"{key}-part{part}"


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if one.is_file() and _may_be_a_clip(one))


def stamp_of(path: Path) -> list[tuple[int, int]]:
    """What changes when somebody writes to a clip: size and time of each of its files.

    Raises:
        OSError: A file is gone.
    """
    states = [one.stat() for one in _files_of(path)]
    return [(state.st_size, state.st_mtime_ns) for state in states]


def _bytes_of(files: Sequence[Path]) -> str:
    """SHA-256 of the bytes of a file; of a folder, of its files' hashes in the order of names."""
    hashes = []
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        hashes.append(digest.hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _uid_of(files: Sequence[Path]) -> str | None:
    import pydicom

    name = "SOPInstanceUID" if len(files) == 1 else "SeriesInstanceUID"
    try:
        with no_warnings():
            header = pydicom.dcmread(files[0], stop_before_pixels=True, specific_tags=[name])
            return str(header[name].value)  # read here, and may warn
    except Exception:  # not DICOM, or damaged
        return None


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """The DICOM libraries' warnings quote tags, a patient's name among them. None is printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
