"""Functional groups of enhanced objects: which frames belong to one slice, when, and how large.

An enhanced MR object may hold several slices at several phases, in any order (PS3.3 C.7.6.16). Each
slice with two phases or more is a cine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DT

from cineflow.cine.dicom.grey import Scale, Window, scale_of, window_of
from cineflow.cine.dicom.spacing import Spacing, measured_spacing
from cineflow.cine.dicom.times import number_of
from cineflow.cine.errors import NotCineError, SingleFrameError, TruncatedError

#: Two frames are of one slice if the numbers of their directions, and mm, differ by at most these.
_SAME_DIRECTION, _SAME_MM = 0.005, 0.05


@dataclass(frozen=True)
class Member:
    """One frame, as its functional groups describe it.

    Attributes:
        index: Its position in the object.
        place: What tells its slice apart: stack, echo, kind of picture.
        where: Orientation (6 numbers) and position (3, mm) of its slice, as far as they are stated.
        position_mm: Distance of its slice along the slices' normal.
        time_ms: Its time, on a clock of its source.
        source: The tag that gave the time, or "".
        interval_ms: Time between R waves, if it is stated.
        spacing_mm: (row, column), if it is stated.
        scale: Its rescaling.
        window: Its window.
        order: TemporalPositionIndex, for frames without times.
    """

    index: int
    place: tuple[object, ...]
    where: tuple[tuple[float, ...], tuple[float, ...]]
    position_mm: float
    time_ms: float | None
    source: str
    interval_ms: float | None
    spacing_mm: Spacing
    scale: Scale | None
    window: Window | None
    order: int = 0


@dataclass(frozen=True)
class Slice:
    """The frames of one slice, in the order of their times.

    Attributes:
        members: Its frames.
        label: Which slice it is, for the user; "" if it is the only one.
        note: What was left out, or "".
    """

    members: tuple[Member, ...]
    label: str
    note: str = ""


def slices_of(header: Dataset, count: int) -> list[Slice]:
    """Group the frames of an enhanced object by slice, and sort them by time.

    Raises:
        NotCineError: No slice has two times, or frames of one slice share a time.
        TruncatedError: There are fewer groups than frames.
    """
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    if not per_frame:
        raise NotCineError(
            "frames with their slice and time",
            f"{count} frames without functional groups",
            "The object does not say which slice and time a frame has. Export the series again.",
        )
    if len(per_frame) < count:
        raise TruncatedError(
            f"functional groups of {count} frames",
            f"{len(per_frame)}",
            "The object is incomplete. Export the series again.",
        )
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    members = [_member(index, per_frame[index], shared) for index in range(count)]
    return group_members(members)


def tell_frames_apart(header: Dataset, count: int) -> bool:
    """Whether functional groups say of each frame where its slice is, or when it was."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    if len(per_frame) < count:
        return False
    telling = (
        "PlanePositionSequence",
        "PlanePositionVolumeSequence",
        "CardiacSynchronizationSequence",
        "TemporalPositionSequence",
    )
    return any(group.get(keyword) for group in per_frame for keyword in telling)


def group_members(members: list[Member]) -> list[Slice]:
    """Slices of frames, in the order of their positions.

    Raises:
        NotCineError: No slice has two times, or frames of one slice share a time.
        SingleFrameError: There is one frame.
    """
    if len(members) == 1:
        raise SingleFrameError(
            "a cine of at least 2 frames", "1 frame", "Export the loop, not a still image."
        )
    places = _by_place(members)
    timeless = 0
    for number, found in enumerate(places):
        timed = [member for member in found if member.time_ms is not None]
        if _vary(timed) and len(timed) < len(found):
            timeless += len(found) - len(timed)
            places[number] = timed
    cines = [found for found in places if len(found) > 1]
    if not cines:
        raise NotCineError(
            "a slice at two times or more",
            f"a stack of {len(places)} slices at one time each",
            "It is not a cine. Export the phases of one slice.",
        )
    cines.sort(key=lambda found: found[0].position_mm)
    left_out = len(members) - timeless - sum(len(found) for found in cines)
    notes = []
    if timeless:
        were = "1 frame was" if timeless == 1 else f"{timeless} frames were"
        notes.append(f"{were} left out, without the time that the others have.")
    if left_out:
        one = "1 frame of a slice at one time was left out."
        several = f"{left_out} frames of slices at one time each were left out."
        notes.append(one if left_out == 1 else several)
    note = " ".join(notes)
    slices = []
    for number, found in enumerate(cines, start=1):
        found = sorted(found, key=lambda member: (member.order, member.index))
        if all(member.time_ms is not None for member in found) and _vary(found):
            found = sorted(found, key=lambda member: member.time_ms or 0.0)
            times = np.array([member.time_ms for member in found], np.float64)
            if not (np.diff(times) > 0).all():
                raise NotCineError(
                    "frames of a slice at different times",
                    f"{len(found)} frames of which some share a time",
                    "They differ in something else than time. Export one of the kinds.",
                )
        label = (
            f"slice {number} of {len(cines)}, at {found[0].position_mm:.1f} mm"
            if len(cines) > 1
            else ""
        )
        slices.append(Slice(tuple(found), label, note))
    return slices


def _by_place(members: list[Member]) -> list[list[Member]]:
    """Members of one slice together, in the order in which slices first appear."""
    places: list[list[Member]] = []
    # Cells of 1 mm, so that a stack of thousands of slices does not take thousands times as long.
    cells: dict[tuple[object, ...], list[list[Member]]] = {}
    for member in members:
        cell = tuple(int(value) for value in member.where[1][:3])
        near = (
            found
            for steps in product((-1, 0, 1), repeat=len(cell))
            for found in cells.get((member.place, *map(sum, zip(cell, steps, strict=True))), ())
        )
        for found in near:
            if _same_slice(member.where, found[0].where):
                found.append(member)
                break
        else:
            places.append([member])
            cells.setdefault((member.place, *cell), []).append(places[-1])
    return places


def _same_slice(one: tuple[tuple[float, ...], ...], other: tuple[tuple[float, ...], ...]) -> bool:
    """Whether orientations and positions differ by no more than rounding."""
    return all(
        len(a) == len(b) and all(abs(x - y) <= most for x, y in zip(a, b, strict=True))
        for a, b, most in zip(one, other, (_SAME_DIRECTION, _SAME_MM), strict=True)
    )


def times_of(members: tuple[Member, ...]) -> np.ndarray | None:
    """Times since the first frame, float64 [T], ms; None if they are not stated."""
    times = [member.time_ms for member in members]
    if any(time is None for time in times) or not _vary(members):
        return None
    return np.array(times, np.float64) - float(times[0] or 0.0)


def triggers_of(members: tuple[Member, ...]) -> np.ndarray | None:
    """R waves on the clock of `times_of`, ms: the trigger, and the next one after the interval."""
    first = members[0]
    if first.time_ms is None or "Trigger" not in first.source:
        return None
    triggers = [-first.time_ms]
    if first.interval_ms is not None:
        triggers.append(first.interval_ms - first.time_ms)
    return np.array(triggers)


def _vary(members: Sequence[Member]) -> bool:
    """False where every frame has one time: the moment of a gated acquisition is not a phase."""
    return len({member.time_ms for member in members}) > 1


def _member(index: int, own: Dataset, shared: Dataset) -> Member:
    def items(keyword: str) -> Iterator[Dataset]:
        for group in (own, shared):
            yield from (group.get(keyword) or [])[:1]

    def first(keyword: str) -> Dataset:
        return next(items(keyword), Dataset())

    orientation = tuple(
        float(v) for v in first("PlaneOrientationSequence").get("ImageOrientationPatient") or ()
    )
    position = [float(v) for v in first("PlanePositionSequence").get("ImagePositionPatient") or ()]
    content = first("FrameContentSequence")
    kind = first("MRImageFrameTypeSequence")
    place = (
        content.get("StackID"),
        content.get("InStackPositionNumber") if not position else None,
        kind.get("ComplexImageComponent"),
        first("MREchoSequence").get("EffectiveEchoTime"),
    )
    time, source = _time_of(first("CardiacSynchronizationSequence"), items, content)
    interval = number_of(first("CardiacSynchronizationSequence").get("RRIntervalTimeNominal"))
    return Member(
        index,
        place,
        (orientation, tuple(position)),
        along_normal(orientation, position, content.get("InStackPositionNumber")),
        time,
        source,
        interval,
        measured_spacing(first("PixelMeasuresSequence")),
        scale_of(first("PixelValueTransformationSequence")),
        window_of(first("FrameVOILUTSequence")),
        int(content.get("TemporalPositionIndex") or 0),
    )


def along_normal(
    orientation: tuple[float, ...], position: list[float], fallback: object = None
) -> float:
    """Distance of a slice along its normal, mm; its number where there is no position.

    Raises:
        NotCineError: The position is not finite.
    """
    if not np.isfinite([*orientation, *position]).all():
        raise NotCineError(
            "slices at known positions", "a position that is not finite", "Export the series again."
        )
    if len(orientation) == 6 and len(position) == 3:
        return float(np.cross(orientation[:3], orientation[3:]) @ np.array(position))
    return number_of(fallback) or 0.0


def _time_of(heart: Dataset, items: object, content: Dataset) -> tuple[float | None, str]:
    """Time of a frame, ms, and the tag that gave it."""
    delay = heart.get("NominalCardiacTriggerDelayTime")
    if delay is not None and np.isfinite(float(delay)):
        return float(delay), "NominalCardiacTriggerDelayTime"
    for item in items("TemporalPositionSequence"):  # type: ignore[operator]
        offset = item.get("TemporalPositionTimeOffset")
        if offset is not None and np.isfinite(float(offset)):
            return 1000.0 * float(item.TemporalPositionTimeOffset), "TemporalPositionTimeOffset"
    for keyword in ("FrameReferenceDateTime", "FrameAcquisitionDateTime"):
        value = content.get(keyword)
        if value:
            moment = DT(str(value))
            if isinstance(moment, datetime):
                return 1000.0 * moment.timestamp(), keyword
    return None, ""
