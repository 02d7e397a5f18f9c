"""What an object takes over from its source, and what all objects of one analysis share."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def read_source(path: Path) -> Dataset:
    """The header of a DICOM source, without its pixels, with what it lacks filled in empty.

    Raises:
        ArgumentError: It is not DICOM, or does not say which study and series it belongs to.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError as error:
        raise ArgumentError(
            "a DICOM source for DICOM objects, which keep its patient and study",
            "another kind of file",
            "Leave --out-dicom out.",
        ) from error
    missing = [name for name in _REFERENCES if not header.get(name)]
    if missing:
        raise ArgumentError(
            "a DICOM source that names its study and series", f"one without {', '.join(missing)}"
        )
    for name in _FILLED:
        if name not in header:
            setattr(header, name, "")
    return header


#: Ultrasound Image Storage: the class of a single picture, in which highdicom has no functional
#: groups to look for.
_SINGLE = "1.2.840.10008.5.1.4.1.1.6.1"


def one_frame_of(source: Dataset, frame: int) -> Dataset:
    """The source as if it were a single picture, which highdicom can refer to without a position.

    `refer_to_frame` restores the references of the finished object.

    Args:
        source: As `read_source` returns it.
        frame: Of the source, from 0.

    Raises:
        ArgumentError: The source has no such frame.
    """
    from pydicom.uid import UID

    count = int(source.get("NumberOfFrames") or 1)
    if not 0 <= frame < count:
        raise ArgumentError(f"a frame of the source, 0 to {count - 1}", str(frame))
    single = copy.deepcopy(source)
    single.SOPClassUID = UID(_SINGLE)
    for name in ("NumberOfFrames", "FrameOfReferenceUID", "PixelSpacing", "SliceThickness"):
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


def refer_to_frame(made: Dataset, source: Dataset, frame: int) -> None:
    """Name the source's class and frame in every reference of an object of `one_frame_of`."""

    def restore(item: Dataset) -> None:
        for element in item:
            if element.VR == "SQ":
                for inner in element.value:
                    restore(inner)
        if item.get("ReferencedSOPInstanceUID") == source.SOPInstanceUID:
            item.ReferencedSOPClassUID = source.SOPClassUID

    restore(made)
    for groups in made.PerFrameFunctionalGroupsSequence:
        for derivation in groups.get("DerivationImageSequence", []):
            for image in derivation.SourceImageSequence:
                image.ReferencedFrameNumber = frame + 1


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
