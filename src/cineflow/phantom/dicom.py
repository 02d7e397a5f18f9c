"""Writes phantoms as DICOM objects, with their calibration.

Equal phantoms give equal files: identifiers derive from the phantom and never from the clock.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.cine import Phantom
from cineflow.phantom.magnetic import MagneticScanner

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_ULTRASOUND_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
_ENHANCED_ULTRASOUND_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"
_GREYSCALE_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.2"


def write_dicom(phantom: Phantom, path: Path) -> None:
    """Writes a phantom as the DICOM object of its kind of picture.

    Ultrasound images become Ultrasound Multi-frame, with frame time and calibrated region. MR-like
    images become multi-frame secondary capture, with frame time and pixel spacing. Ultrasound
    volumes become Enhanced US Volume, with slices and times as dimensions (PS3.3 A.59).

    Raises:
        ArgumentError: MR-like volumes. Their DICOM object requires data of an acquisition that did
            not take place.
    """
    magnetic = isinstance(phantom.scanner, MagneticScanner)
    if len(phantom.size) == 3 and magnetic:
        raise ArgumentError(
            "a slice, or ultrasound volumes", "MR-like volumes as DICOM", "Write .nii.gz instead"
        )
    if len(phantom.size) == 3:
        data = _common(phantom, _ENHANCED_ULTRASOUND_VOLUME)
        _describe_volumes(data, phantom)
    elif magnetic:
        data = _common(phantom, _GREYSCALE_SECONDARY_CAPTURE)
        _describe_capture(data, phantom)
    else:
        data = _common(phantom, _ULTRASOUND_MULTIFRAME)
        _describe_sector(data, phantom)
    pixels = phantom.frames.tobytes()
    data.PixelData = pixels + b"\0" * (len(pixels) % 2)
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)


def _common(phantom: Phantom, object_class: str) -> Dataset:
    """Attributes of every object. Frames are stored volume by volume, slice by slice."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    entropy = [repr(phantom)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(object_class)
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[*entropy, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    _fill(
        data,
        SOPClassUID=object_class,
        SOPInstanceUID=meta.MediaStorageSOPInstanceUID,
        StudyInstanceUID=generate_uid(entropy_srcs=[*entropy, "study"]),
        SeriesInstanceUID=generate_uid(entropy_srcs=[*entropy, "series"]),
        PatientName="PHANTOM^CINEFLOW",
        PatientID=f"PHANTOM-{phantom.seed}",
        SeriesDescription="Synthetic cine with known motion; not a patient",
        NumberOfFrames=int(np.prod(phantom.frames.shape[:-2])),
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=phantom.size[-2],
        Columns=phantom.size[-1],
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
    )
    return data


def _describe_sector(data: Dataset, phantom: Phantom) -> None:
    row_mm, column_mm = phantom.spacing_mm
    rows, columns = phantom.size
    region = _item(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionFlags=0,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=columns - 1,
        RegionLocationMaxY1=rows - 1,
        PhysicalUnitsXDirection=3,  # cm
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=column_mm / 10.0,
        PhysicalDeltaY=row_mm / 10.0,
    )
    _fill(data, Modality="US", SequenceOfUltrasoundRegions=[region], **_timing(phantom))


def _describe_capture(data: Dataset, phantom: Phantom) -> None:
    _fill(
        data,
        Modality="OT",  # it looks like MR but was not acquired by MR
        ConversionType="SYN",
        BurnedInAnnotation="NO",
        PixelSpacing=[_decimal(step) for step in phantom.spacing_mm],
        **_timing(phantom),
    )


def _timing(phantom: Phantom) -> dict[str, Any]:
    return {
        "FrameTime": _decimal(1000.0 / phantom.beat.frame_rate_hz),
        "FrameIncrementPointer": 0x00181063,
        "HeartRate": round(phantom.beat.heart_rate_bpm),
    }


def _describe_volumes(data: Dataset, phantom: Phantom) -> None:
    """The functional groups of an Enhanced US Volume: a Cartesian grid fixed to the probe."""
    from pydicom.tag import Tag
    from pydicom.uid import generate_uid

    slice_mm, row_mm, column_mm = phantom.spacing_mm
    organization = generate_uid(entropy_srcs=[repr(phantom), "dimensions"])
    # Time comes first, because the pixels are stored volume by volume.
    indices = [
        (Tag("TemporalPositionTimeOffset"), Tag("TemporalPositionSequence")),
        (Tag("ImagePositionVolume"), Tag("PlanePositionVolumeSequence")),
    ]
    shared = _item(
        PixelMeasuresSequence=[
            _item(
                PixelSpacing=[_decimal(row_mm), _decimal(column_mm)],
                SliceThickness=_decimal(slice_mm),
                SpacingBetweenSlices=_decimal(slice_mm),
            )
        ],
        PlaneOrientationVolumeSequence=[_item(ImageOrientationVolume=[1, 0, 0, 0, 1, 0])],
    )
    frames = [
        _item(
            FrameContentSequence=[_item(DimensionIndexValues=[time + 1, plane + 1])],
            PlanePositionVolumeSequence=[_item(ImagePositionVolume=[0.0, 0.0, plane * slice_mm])],
            TemporalPositionSequence=[
                _item(TemporalPositionTimeOffset=float(phantom.times_ms[time]) / 1000.0)
            ],
        )
        for time in range(len(phantom))
        for plane in range(phantom.size[0])
    ]
    _fill(
        data,
        Modality="US",
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        HeartRate=round(phantom.beat.heart_rate_bpm),
        FrameOfReferenceUID=generate_uid(entropy_srcs=[repr(phantom), "frame"]),
        VolumeFrameOfReferenceUID=generate_uid(entropy_srcs=[repr(phantom), "volume"]),
        UltrasoundAcquisitionGeometry="APEX",
        ApexPosition=[
            (phantom.size[2] - 1) / 2.0 * column_mm,
            -float(phantom.scanner.apex_mm),  # type: ignore[union-attr]
            (phantom.size[0] - 1) / 2.0 * slice_mm,
        ],
        DimensionOrganizationSequence=[_item(DimensionOrganizationUID=organization)],
        DimensionOrganizationType="3D_TEMPORAL",
        DimensionIndexSequence=[
            _item(
                DimensionOrganizationUID=organization,
                DimensionIndexPointer=pointer,
                FunctionalGroupPointer=group,
            )
            for pointer, group in indices
        ],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )


def _item(**fields: Any) -> Dataset:
    from pydicom.dataset import Dataset

    return _fill(Dataset(), **fields)


def _fill(data: Dataset, **fields: Any) -> Dataset:
    for name, value in fields.items():
        setattr(data, name, value)
    return data


def _decimal(value: float) -> str:
    """A DICOM decimal string, which has at most 16 characters."""
    return f"{value:.6g}"
