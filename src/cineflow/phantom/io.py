"""Phantoms on disk: `.npz` with the truth, `.dcm` for scanners, `.nii.gz` for MR tools, `.gif`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError, MissingDependencyError
from cineflow.phantom.beat import Beat
from cineflow.phantom.cine import Phantom, Tissue
from cineflow.phantom.presets import ShortAxisPhantom, apical, parasternal_long_axis

#: Name of a view -> phantom; all take `seed`, `beat` and `tissue`.
VIEWS: Mapping[str, Callable[..., Phantom]] = {
    "short-axis": ShortAxisPhantom,
    "parasternal-long-axis": parasternal_long_axis,
    "apical": apical,
}


def make(
    view: str = "short-axis",
    seed: int = 0,
    *,
    heart_rate_bpm: float = 60.0,
    frame_rate_hz: float = 50.0,
    beats: float = 1.0,
    decorrelation: float = 0.0,
    clutter: float = 0.0,
) -> Phantom:
    """A phantom by the name of its view.

    Raises:
        ArgumentError: An unknown view, or timing that gives no cine.
    """
    if view not in VIEWS:
        raise ArgumentError(f"a view of {', '.join(VIEWS)}", repr(view))
    return VIEWS[view](
        seed,
        beat=Beat(heart_rate_bpm, frame_rate_hz, beats),
        tissue=Tissue(decorrelation=decorrelation, clutter=clutter),
    )


def save(phantom: Phantom, path: str | Path) -> Path:
    """Write a phantom; the suffix of `path` says how.

    `.npz`: frames u8 [T, H, W], times_ms, spacing_mm (row, column), sector, and the truth:
    displacement f32 [T, 2, H, W] px since frame 0, myocardium bool [T, H, W], ed, es (frames).
    `.dcm`: Ultrasound Multi-frame with frame time and calibrated region. `.nii` / `.nii.gz`: x, y,
    one slice, time, with spacing in mm and s. `.gif`: half size, every second frame, to look at.

    Returns:
        The path written.

    Raises:
        ArgumentError: Another suffix.
        MissingDependencyError: nibabel is not installed (`.nii` only).
    """
    target = Path(path)
    for suffix, write in _WRITERS.items():
        if target.name.endswith(suffix):
            target.parent.mkdir(parents=True, exist_ok=True)
            write(phantom, target)
            return target
    raise ArgumentError(f"a file name ending in {', '.join(_WRITERS)}", repr(target.name))


def _write_npz(phantom: Phantom, path: Path) -> None:
    count = range(len(phantom))
    np.savez_compressed(
        path,
        frames=phantom.frames,
        times_ms=phantom.times_ms,
        spacing_mm=np.array(phantom.spacing_mm),
        sector=phantom.sector,
        displacement=np.stack([phantom.displacement(k) for k in count]),
        myocardium=np.stack([phantom.myocardium(k) for k in count]),
        ed=np.array(phantom.beat.end_diastoles),
        es=np.array(phantom.beat.end_systoles),
    )


def _write_dicom(phantom: Phantom, path: Path) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    ultrasound_multiframe = "1.2.840.10008.5.1.4.1.1.3.1"
    row_mm, column_mm = phantom.spacing_mm
    rows, columns = phantom.size
    # Equal phantoms give equal identifiers: nothing in the file depends on the clock.
    entropy = [repr(phantom)]

    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX, region.PhysicalDeltaY = column_mm / 10.0, row_mm / 10.0

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(ultrasound_multiframe)
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[*entropy, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    fields: dict[str, Any] = {
        "SOPClassUID": ultrasound_multiframe,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(entropy_srcs=[*entropy, "study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=[*entropy, "series"]),
        "Modality": "US",
        "PatientName": "PHANTOM^CINEFLOW",
        "PatientID": f"PHANTOM-{phantom.seed}",
        "SeriesDescription": "Synthetic cine with known motion; not a patient",
        "FrameTime": f"{1000.0 / phantom.beat.frame_rate_hz:.6g}",
        "FrameIncrementPointer": 0x00181063,
        "NumberOfFrames": len(phantom),
        "HeartRate": round(phantom.beat.heart_rate_bpm),
        "SequenceOfUltrasoundRegions": [region],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    for name, value in fields.items():
        setattr(data, name, value)
    pixels = phantom.frames.tobytes()
    data.PixelData = pixels + b"\0" * (len(pixels) % 2)
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)


def _write_nifti(phantom: Phantom, path: Path) -> None:
    try:
        nibabel: Any = import_module("nibabel")
    except ImportError as error:
        raise MissingDependencyError("nibabel", str(error), "`pip install nibabel`") from error
    row_mm, column_mm = phantom.spacing_mm
    # [T, y, x] -> [x, y, 1, T]; y points down on the screen: towards -y of the file's frame.
    volume = phantom.frames.transpose(2, 1, 0)[:, :, None, :]
    image = nibabel.Nifti1Image(volume, np.diag([column_mm, -row_mm, 1.0, 1.0]))
    image.header.set_zooms((column_mm, row_mm, 1.0, 1.0 / phantom.beat.frame_rate_hz))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)


def _write_gif(phantom: Phantom, path: Path) -> None:
    from PIL import Image

    step_ms = 2000.0 / phantom.beat.frame_rate_hz
    height, width = (extent // 2 for extent in phantom.size)
    small = [
        Image.fromarray(frame).resize((width, height)).quantize(32) for frame in phantom.frames[::2]
    ]
    small[0].save(path, save_all=True, append_images=small[1:], duration=step_ms, loop=0)


_WRITERS: dict[str, Callable[[Phantom, Path], None]] = {
    ".npz": _write_npz,
    ".dcm": _write_dicom,
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
    ".gif": _write_gif,
}
