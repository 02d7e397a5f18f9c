"""The overlay as a multi-frame secondary capture, in true colour, as JPEG."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cineflow.filing.dicom.source import USE, Maker, Source, equipment

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Multi-frame True Color Secondary Capture Image Storage.
_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7.4"
_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_QUALITY = 85
#: Pillow's number for 4:2:2, which YBR_FULL_422 means.
_HALF_CHROMA = 1

#: Taken over from the source where it has them: patient and study.
_KEPT = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def write_capture(
    path: Path,
    source: Source,
    maker: Maker,
    frames: Iterable[np.ndarray],
    period_ms: float,
    *,
    blanked: bool,
) -> Path:
    """Write frames as a secondary capture that plays.

    Args:
        path: The .dcm file; its folder exists.
        source: From `read_source`; the object refers to its frames, in their order.
        maker: What computed it.
        frames: uint8 [H, W, 3] RGB each, of the clip's first frames.
        period_ms: Time between frames.
        blanked: Whether everything outside the scan sector is black. Otherwise the object says that
            it may have burned-in annotation.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    encoded = []
    size = (0, 0)
    raw = 0
    for frame in frames:
        size, raw = frame.shape[:2], raw + frame.nbytes
        buffer = io.BytesIO()
        picture = Image.fromarray(frame)
        picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=_HALF_CHROMA)
        encoded.append(buffer.getvalue())
    header = source.header
    shared = equipment(header, maker, "overlay", 4)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_SOP_CLASS)
    meta.MediaStorageSOPInstanceUID = UID(shared["sop_instance_uid"])
    meta.TransferSyntaxUID = UID(_JPEG_BASELINE)
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for name in _KEPT:
        if name in header:
            made[name] = header[name]
    tags: dict[str, Any] = {
        "SpecificCharacterSet": header.get("SpecificCharacterSet", "ISO_IR 192"),
        "SOPClassUID": UID(_SOP_CLASS),
        "SOPInstanceUID": UID(shared["sop_instance_uid"]),
        "SeriesInstanceUID": UID(shared["series_instance_uid"]),
        "SeriesNumber": shared["series_number"],
        "SeriesDescription": shared["series_description"],
        "InstanceNumber": 1,
        "Modality": str(header.get("Modality") or "OT"),
        "ConversionType": "WSD",
        "ImageType": ["DERIVED", "SECONDARY"],
        "DerivationDescription": f"Tracked wall drawn over the cine. {USE}",
        "SourceImageSequence": _references(source, len(encoded)),
        "PatientOrientation": "",
        "Laterality": "",
        "Manufacturer": shared["manufacturer"],
        "ManufacturerModelName": shared["manufacturer_model_name"],
        "SoftwareVersions": shared["software_versions"],
        "DeviceSerialNumber": shared["device_serial_number"],
        "BurnedInAnnotation": "NO" if blanked else "YES",
        "NumberOfFrames": len(encoded),
        "FrameIncrementPointer": 0x00181063,
        "FrameTime": f"{period_ms:.6g}",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_FULL_422",
        "PlanarConfiguration": 0,
        "Rows": size[0],
        "Columns": size[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": f"{raw / max(1, sum(map(len, encoded))):.1f}",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    for name, value in tags.items():
        setattr(made, name, value)
    made.PixelData = encapsulate(encoded)
    made["PixelData"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)
    return path


def _references(source: Source, count: int) -> list[Dataset]:
    """The stored frames of the clip's first `count` frames, in the overlay's order."""
    from pydicom.dataset import Dataset

    items = []
    for image, numbers in source.references(range(count)):
        item = Dataset()
        item.ReferencedSOPClassUID = image.SOPClassUID
        item.ReferencedSOPInstanceUID = image.SOPInstanceUID
        whole = list(range(1, int(image.get("NumberOfFrames") or 1) + 1))
        if numbers and numbers != whole:  # without numbers, a reference is to the whole object
            item.ReferencedFrameNumber = numbers
        items.append(item)
    return items
