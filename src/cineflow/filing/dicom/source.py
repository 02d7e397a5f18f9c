"""What an object takes over from its source, and what all objects of one analysis share.

A clip's frames are in the order of time. Objects name a frame as it is stored: by its number in a
multi-frame object, or by the single-frame object that holds it.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.cine.dicom import dicom_files
from cineflow.errors import ArgumentError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

USE = "Research use, not for diagnosis"

#: Every object needs these; most may be empty.
_FILLED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
#: Functional groups describe every stored frame; no new object takes them over.
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
#: Digits and dots. Components with a leading zero are against the standard, and common.
_UID = re.compile(r"[0-9.]{1,64}")
_REFERENCES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True)
class Maker:
    """What computed an analysis, as its objects say it.

    Attributes:
        model: Name of the model, with the hash of its graph.
        software: Version of cineflow.
        trained: Whether the model's weights were trained.
        content: Hash of what was measured: the same measurements have the same UIDs.
    """

    model: str
    software: str
    trained: bool
    content: str


@dataclass(frozen=True, eq=False)
class Source:
    """The stored objects of a clip.

    Attributes:
        headers: Of each, without pixels: one multi-frame object, or those of a series of single
            frames, in the order of the clip's frames.
        numbers: Number of each of the clip's frames in the multi-frame object, from 1; None for a
            series.
    """

    headers: tuple[Dataset, ...]
    numbers: tuple[int, ...] | None

    @property
    def header(self) -> Dataset:
        """The first object: patient, study, and all that a new object takes over."""
        return self.headers[0]

    def __len__(self) -> int:
        """Frames of the clip."""
        return len(self.headers if self.numbers is None else self.numbers)

    def image(self, frame: int) -> Dataset:
        """The object that stores a frame of the clip.

        Raises:
            ArgumentError: The clip has no such frame.
        """
        if not 0 <= frame < len(self):
            raise ArgumentError(f"a frame of the clip, 0 to {len(self) - 1}", str(frame))
        return self.headers[frame if self.numbers is None else 0]

    def number(self, frame: int) -> int | None:
        """Number of a frame of the clip in `image(frame)`, from 1; None if that has one frame.

        Raises:
            ArgumentError: The clip has no such frame.
        """
        self.image(frame)
        return None if self.numbers is None else self.numbers[frame]

    def references(self, frames: Iterable[int]) -> list[tuple[Dataset, list[int]]]:
        """Objects that store frames of the clip, each with the frames' numbers in their order.

        A single-frame object has no numbers.
        """
        found: dict[str, tuple[Dataset, list[int]]] = {}
        for frame in frames:
            image, number = self.image(frame), self.number(frame)
            numbers = found.setdefault(str(image.SOPInstanceUID), (image, []))[1]
            if number is not None and number not in numbers:
                numbers.append(number)
        return list(found.values())

    def describe(self, frame: int) -> str:
        """Where a frame is stored, in words."""
        number = self.number(frame)
        if number is None:
            return f"instance {self.image(frame).SOPInstanceUID} of the source"
        return f"frame {number} of the source (from 1)"


def read_source(path: Path, stored: np.ndarray | None = None) -> Source:
    """The stored objects of a clip, with what they lack filled in empty.

    Args:
        path: The clip: a DICOM file, or the folder of a series of single frames.
        stored: `Cine.stored_at` of the clip; None for all frames in the order of a file.

    Raises:
        ArgumentError: It is not DICOM, does not say by valid UIDs which study and series it belongs
            to, or stores frames beyond its NumberOfFrames.
    """
    files = dicom_files(path)
    if len(files) > 1:
        places = range(len(files)) if stored is None else stored.tolist()
        return Source(tuple(_header(files[at]) for at in places), None)
    if not files:
        raise _not_dicom()
    header = _header(files[0])
    count = int(header.get("NumberOfFrames") or 1)
    places = range(count) if stored is None else stored.tolist()
    if max(places) >= count:
        raise ArgumentError(
            f"frames that NumberOfFrames of the source covers, {count} of them",
            f"frame {max(places) + 1}",
            "A DICOM object cannot refer to it. Correct NumberOfFrames, or leave --out-dicom out.",
        )
    return Source((header,), tuple(at + 1 for at in places))


def _not_dicom() -> ArgumentError:
    return ArgumentError(
        "a DICOM source for DICOM objects, which keep its patient and study",
        "another kind of file",
        "Leave --out-dicom out.",
    )


def _header(path: Path) -> Dataset:
    """The tags of a stored object that new objects need."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError as error:
        raise _not_dicom() from error
    missing = [name for name in _REFERENCES if not header.get(name)]
    if missing:
        raise ArgumentError(
            "a DICOM source that names its study and series", f"one without {', '.join(missing)}"
        )
    wrong = [name for name in _REFERENCES if not _UID.fullmatch(str(header[name].value))]
    if wrong:
        raise ArgumentError(
            "a DICOM source with valid UIDs, which every object refers to",
            f"one with something else as {', '.join(wrong)}",
            "Leave --out-dicom out, or export the clip again.",
        )
    for name in _FILLED:
        if name not in header:
            setattr(header, name, "")
    for name in _GROUPS:
        header.pop(name, None)
    return header


#: Ultrasound Image Storage: the class of a single picture, in which highdicom has no functional
#: groups to look for.
_SINGLE = "1.2.840.10008.5.1.4.1.1.6.1"


#: What says how many frames there are, or where they lie.
_PLACED = (
    "NumberOfFrames",
    "FrameOfReferenceUID",
    "PixelSpacing",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)


def one_frame_of(source: Source, frame: int) -> Dataset:
    """A frame as if it were a single picture, which highdicom can refer to without a position.

    `refer_to_frame` restores the references of the finished object.

    Args:
        source: As `read_source` returns it.
        frame: Of the clip, from 0.

    Raises:
        ArgumentError: The clip has no such frame.
    """
    from pydicom.uid import UID

    single = copy.deepcopy(source.image(frame))
    single.SOPClassUID = UID(_SINGLE)
    for name in _PLACED:
        single.pop(name, None)
    return single


def placed(single: Dataset, maker: Maker, spacing_mm: tuple[float, float] | None) -> Dataset:
    """`single` in a frame of reference of its own, which a Parametric Map has to have.

    The origin is the picture's first pixel, x runs to the right and y down. Where the picture lies
    in the patient is not known, and the position reference indicator is empty.
    """
    single.FrameOfReferenceUID = uid(single, maker, "frame of reference")
    single.PositionReferenceIndicator = ""
    single.ImagePositionPatient = [0.0, 0.0, 0.0]
    single.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    single.PixelSpacing = list(spacing_mm or (1.0, 1.0))
    single.SliceThickness = 1.0
    return single


def without_spacing(made: Dataset) -> None:
    """Take a made-up spacing out of a map of a picture without calibration."""
    made.VolumetricProperties = "DISTORTED"
    for group in (made.SharedFunctionalGroupsSequence[0], *made.PerFrameFunctionalGroupsSequence):
        for measures in group.get("PixelMeasuresSequence", []):
            for name in ("PixelSpacing", "SliceThickness"):
                measures.pop(name, None)


def refer_to_frame(made: Dataset, source: Source, frame: int) -> None:
    """Name the source's class and frame in every reference of an object of `one_frame_of`."""
    stored, number = source.image(frame), source.number(frame)

    def restore(item: Dataset) -> None:
        for element in item:
            if element.VR == "SQ":
                for inner in element.value:
                    restore(inner)
        if item.get("ReferencedSOPInstanceUID") == stored.SOPInstanceUID:
            item.ReferencedSOPClassUID = stored.SOPClassUID

    restore(made)
    if number is None:
        return
    for groups in made.PerFrameFunctionalGroupsSequence:
        for derivation in groups.get("DerivationImageSequence", []):
            for image in derivation.SourceImageSequence:
                image.ReferencedFrameNumber = number


def uid(source: Dataset, maker: Maker, kind: str) -> str:
    """A UID that is the same whenever the same measurements of the same source are written."""
    from pydicom.uid import generate_uid

    parts = [str(source.SOPInstanceUID), maker.model, maker.content, kind]
    return str(generate_uid(entropy_srcs=parts))


def equipment(source: Dataset, maker: Maker, kind: str, number: int) -> dict[str, Any]:
    """Arguments that all of highdicom's objects take."""
    return {
        "series_instance_uid": uid(source, maker, f"series {kind}"),
        "series_number": 9000 + number,
        "sop_instance_uid": uid(source, maker, f"instance {kind}"),
        "instance_number": 1,
        "manufacturer": "cineflow",
        "manufacturer_model_name": maker.model[:64],
        "software_versions": maker.software[:64],
        "device_serial_number": maker.model[-8:],
        "series_description": f"{USE}; {kind}"[:64],
    }


def content_hash(*parts: bytes) -> str:
    """A hash of everything that was measured."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
