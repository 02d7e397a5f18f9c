"""A series of single frames, one file each, as scanners store cine MR: one cine per slice."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from pydicom.dataset import Dataset

from cineflow.cine.dicom.frames import Frames, find_frames
from cineflow.cine.dicom.grey import scale_of, window_of
from cineflow.cine.dicom.groups import Member, Slice, along_normal, group_members
from cineflow.cine.dicom.header import Opened, open_pixels, open_tags
from cineflow.cine.dicom.kinds import require_cine, require_picture
from cineflow.cine.dicom.spacing import measured_spacing
from cineflow.cine.dicom.times import number_of
from cineflow.cine.errors import NotCineError

_MOST_FILES = 20_000


def is_dicom(path: Path) -> bool:
    """Whether a file begins as a DICOM part-10 file does."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def dicom_files(path: Path) -> list[Path]:
    """The files that `Cine.stored` counts: those of a folder, by name; or the one file."""
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.is_file())
    return [one for one in files if one.name.upper() != "DICOMDIR" and is_dicom(one)]


class _OnDemand:
    """A file that is open only while it is read: a series has more than may be open at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (self._path.stat().st_size if whence == io.SEEK_END else 0)
        return self._at

    def read(self, size: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._at)
            return file.read(size)


def open_series(paths: list[Path]) -> tuple[list[Slice], list[Frames]]:
    """Open the single frames of one series, and group them by slice.

    Args:
        paths: The DICOM files of a folder.

    Returns:
        The slices, whose members' indices count the files; and the files.

    Raises:
        NotCineError: They are several series, a stack at one time, or of a class whose frames are
            not a cine.
    """
    if len(paths) > _MOST_FILES:
        raise NotCineError(
            f"a series of at most {_MOST_FILES} files", f"{len(paths)}", "Give one series."
        )
    stored: list[Frames] = []
    members: list[Member] = []
    series, instances = set(), set()
    for index, path in enumerate(paths):
        with path.open("rb") as file:
            header, data = open_tags(file)
            require_cine(header)
            require_picture(header)
            opened = open_pixels(header, data)
        if data is file:
            opened = replace(opened, file=cast("BinaryIO", _OnDemand(path)))
        series.add(str(header.get("SeriesInstanceUID", "")))
        if len(series) > 1:
            raise NotCineError(
                "the files of one series",
                "files of several series",
                "Give a folder that holds one series, or one file.",
            )
        instance = str(header.get("SOPInstanceUID", "")) or str(index)
        if instance in instances:
            raise NotCineError(
                "each frame once",
                "two files of one SOP instance",
                "One of them is a copy. Take it out of the folder.",
            )
        instances.add(instance)
        frames = find_frames(opened)
        if len(frames) > 1:
            raise NotCineError(
                "a series of single frames",
                "a folder with multi-frame objects",
                "Give one of the files.",
            )
        members.append(_member(index, header, opened))
        stored.append(frames)
    _require_one_layout(stored)
    slices = group_members(members)
    return [_by_number(one, stored) for one in slices], stored


def _member(index: int, header: Dataset, opened: Opened) -> Member:
    orientation = tuple(float(value) for value in header.get("ImageOrientationPatient") or ())
    position = [float(value) for value in header.get("ImagePositionPatient") or ()]
    location = header.get("SliceLocation")
    where = tuple(position) or (() if location is None else (float(location),))
    trigger = header.get("TriggerTime")
    time = None if trigger is None or not np.isfinite(float(trigger)) else float(trigger)
    position_number = number_of(header.get("TemporalPositionIdentifier"))
    resolution = number_of(header.get("TemporalResolution"))
    if time is None and position_number is not None and resolution is not None:
        time, source = position_number * resolution, "TemporalPositionIdentifier"
    else:
        source = "" if time is None else "TriggerTime"
    kind = header.get("ImageType") or ()
    return Member(
        index,
        (header.get("EchoTime"), tuple(kind)[2:3]),
        (orientation, where),
        along_normal(orientation, position, location),
        time,
        source,
        number_of(header.get("NominalInterval")),
        measured_spacing(header),
        scale_of(header),
        window_of(header),
        int(header.get("InstanceNumber") or 0),
    )


def _by_number(one: Slice, stored: list[Frames]) -> Slice:
    """Frames without times, in the order of their instance numbers."""
    if all(member.time_ms is not None for member in one.members):
        return one
    return replace(one, members=tuple(sorted(one.members, key=lambda member: member.order)))


def _require_one_layout(stored: list[Frames]) -> None:
    layouts = {frames.opened.layout for frames in stored}
    if len(layouts) > 1:
        raise NotCineError(
            "frames of one size and type",
            f"{len(layouts)} kinds of frames in one folder",
            "Give a folder that holds one series.",
        )
