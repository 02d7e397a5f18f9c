"""DICOM objects to cines: the order of the steps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from cineflow.cine.assemble import Parts, assemble
from cineflow.cine.clip import Cine
from cineflow.cine.dicom import groups
from cineflow.cine.dicom.annotation import burned_in
from cineflow.cine.dicom.codecs import VIDEO
from cineflow.cine.dicom.embedded import read_embedded
from cineflow.cine.dicom.frames import Frames, find_frames
from cineflow.cine.dicom.header import Opened, open_pixels, open_tags
from cineflow.cine.dicom.kinds import (
    ENHANCED_MR,
    require_cine,
    require_picture,
    without_sector,
)
from cineflow.cine.dicom.pixels import Shown, read_grey
from cineflow.cine.dicom.series import open_series
from cineflow.cine.dicom.spacing import Spacing, picture_regions, pixel_aspect, pixel_spacing
from cineflow.cine.dicom.times import frame_times
from cineflow.cine.dicom.traces import triggers
from cineflow.cine.errors import DecodeError, NotCineError, SingleFrameError
from cineflow.errors import CineflowError


@dataclass(frozen=True, eq=False)
class Planned:
    """One cine before its pixels are decoded.

    Attributes:
        header: The object that describes it; of a series, the first frame's.
        shown: Its frames.
        times_ms: Their times.
        notes: What was assumed so far.
        label: Which slice it is; "" if the file holds one cine.
        spacing: Spacing from functional groups and its source; None leaves it to the header.
        triggers_ms: R waves on the clock of `times_ms`.
        stored: Where each frame is stored, as `Cine.stored`.
    """

    header: Dataset
    shown: Sequence[Shown]
    times_ms: np.ndarray
    notes: list[str] = field(default_factory=list)
    label: str = ""
    spacing: tuple[Spacing, str] | None = None
    triggers_ms: np.ndarray | None = None
    stored: np.ndarray | None = None


def read_dicom(
    paths: Sequence[Path], part: int | None = None, limit_bytes: int | None = None
) -> tuple[list[Cine], int]:
    """Read a DICOM object, or the single frames of a series.

    Args:
        paths: One part-10 file, or the files of a series.
        part: The one cine that is wanted, counted from 0; None for all. Of a part that is not
            there, nothing is decoded.
        limit_bytes: Most bytes of grey frames; None for the default.

    Returns:
        The cines, in grey and blank outside the sector; and how many the object holds. The rest of
        the header is dropped.

    Raises:
        NotDicomError: The DICM prefix is missing.
        NotCineError: The frames are slices, doses, masks or pages.
        UnknownTypeError: The frames are volumes.
        TruncatedError: The file or its pixel data ends early.
        NoPixelDataError: The pixel data element is missing.
        SingleFrameError: The object has a single frame.
        TooLargeError: The frames exceed the limit.
        DecodeError: The compression or photometric interpretation is not supported, or a tag is
            damaged.
    """
    with ExitStack() as files, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's quote tags, a patient's name among them
        try:
            return _read(paths, part, limit_bytes, files)
        except (CineflowError, MemoryError):
            raise
        except OSError as error:
            if error.filename is not None:  # the system's word on the file, not on its content
                raise
            raise _damaged(error) from error
        except Exception as error:  # pydicom reads tags lazily and raises many types
            raise _damaged(error) from error


def _damaged(error: Exception) -> DecodeError:
    # The text of the error may hold a tag's value or a memory address, so it is left out.
    return DecodeError(
        "a DICOM object with readable tags",
        f"a tag that cannot be read ({type(error).__name__})",
        "The file is damaged or does not follow the standard. Fetch or export it again.",
    )


def _read(
    paths: Sequence[Path], part: int | None, limit_bytes: int | None, files: ExitStack
) -> tuple[list[Cine], int]:
    if len(paths) > 1:
        planned = _of_series(*open_series(list(paths)))
    else:
        header, file = open_tags(files.enter_context(paths[0].open("rb")))
        if file is not None:
            files.callback(file.close)
        require_cine(header)
        require_picture(header)
        opened = open_pixels(header, file)
        if opened.syntax in VIDEO:
            return ([_embedded(opened, limit_bytes)] if part in (None, 0) else []), 1
        planned = _of_object(opened)
    wanted = planned if part is None else planned[part : part + 1]
    return [_finish(one, limit_bytes) for one in wanted], len(planned)


def _of_object(opened: Opened) -> list[Planned]:
    frames = find_frames(opened)
    header, count = opened.header, len(frames)
    if count < 2:
        raise SingleFrameError(
            "a cine of at least 2 frames", "1 frame", "Export the loop, not a still image."
        )
    uid = str(header.get("SOPClassUID", ""))
    if uid in ENHANCED_MR or groups.tell_frames_apart(header, count):
        slices = groups.slices_of(header, count)
        return [_of_slice(one, header, [frames] * count, frames.note) for one in slices]
    times_ms, note = frame_times(header, count)
    shown = [Shown(frames, index) for index in range(count)]
    triggers_ms, heard = triggers(header, times_ms)
    notes = [text for text in (frames.note, note, heard) if text]
    return [Planned(header, shown, times_ms, notes, triggers_ms=triggers_ms)]


def _of_series(slices: list[groups.Slice], stored: list[Frames]) -> list[Planned]:
    header = stored[slices[0].members[0].index].opened.header
    for frames in stored:  # one frame with burned-in text is enough to look for it in all
        if str(frames.opened.header.get("BurnedInAnnotation") or "").strip().upper() == "YES":
            header = frames.opened.header
    return [_of_slice(one, header, stored, "") for one in slices]


def _of_slice(one: groups.Slice, header: Dataset, stored: Sequence[Frames], note: str) -> Planned:
    members = one.members
    several = len({id(frames) for frames in stored}) > 1
    shown = [Shown(stored[m.index], 0 if several else m.index, m.scale, m.window) for m in members]
    times_ms = groups.times_of(members)
    label = f"This is {one.label}." if one.label else ""
    notes = [text for text in (note, label, one.note) if text]
    if times_ms is None:
        times_ms, assumed = frame_times(header, len(members))
        if "assumed" in assumed and not several and not any(member.order for member in members):
            raise NotCineError(
                "frames with their times",
                f"{len(members)} frames of a slice, of which nothing says when or in which order",
                "They may differ in something else than time. Export the series again.",
            )
        notes.append(assumed or "The frames have no times of their own; FrameTime was used.")
    spacings = {member.spacing_mm for member in members}
    source = "PixelSpacing" if several else "PixelMeasuresSequence, PixelSpacing"
    spacing = None if spacings == {None} else (members[0].spacing_mm, source)
    if len(spacings) > 1:
        spacing = None, "the frames state different spacings: pixels only"
    stored_at = np.array([member.index for member in members], np.int64)
    if not several and (np.diff(stored_at) < 0).any():
        notes.append("Frames were put in the order of time; the file stores them in another order.")
    return Planned(
        header,
        shown,
        times_ms,
        notes,
        one.label,
        spacing,
        groups.triggers_of(members),
        stored_at,
    )


def _finish(planned: Planned, limit_bytes: int | None) -> Cine:
    """Decode the frames of one cine, and assemble it."""
    grey = read_grey(planned.shown, limit_bytes)
    header = planned.header
    regions = picture_regions(header, grey.frames.shape[1:])
    whole = without_sector(header)
    return assemble(
        Parts(
            frames=grey.frames,
            times_ms=planned.times_ms,
            spacing=lambda sector: planned.spacing or pixel_spacing(header, sector),
            notes=[*planned.notes, *grey.notes, *filter(None, [whole])],
            coloured=grey.coloured,
            regions=regions,
            sector=np.ones(grey.frames.shape[1:], bool) if whole else None,
            aspect=pixel_aspect(header),
            triggers_ms=planned.triggers_ms,
            burned_in=burned_in(header),
            stored=planned.stored,
        )
    )


def _embedded(opened: Opened, limit_bytes: int | None) -> Cine:
    header = opened.header
    video = read_embedded(opened, limit_bytes)
    times_ms, note = frame_times(header, len(video.frames))
    if "assumed" in note:  # the header states no time, but the video has its own
        times_ms, note = video.times_ms, "The times are those of the video stream."
    triggers_ms, heard = triggers(header, times_ms)
    return assemble(
        Parts(
            frames=video.frames,
            times_ms=times_ms,
            spacing=lambda sector: pixel_spacing(header, sector),
            notes=[*video.notes, *filter(None, [note, heard])],
            regions=picture_regions(header, video.frames.shape[1:]),
            aspect=pixel_aspect(header) if "PixelAspectRatio" in header else video.aspect,
            triggers_ms=triggers_ms,
            burned_in=burned_in(header),
        )
    )
