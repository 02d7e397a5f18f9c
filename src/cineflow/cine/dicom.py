"""DICOM ultrasound multi-frame objects: pixels to grey, frame times, calibration."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, apply_rescale
from pydicom.pixels.utils import iter_pixels

from cineflow.cine.calibration import pixel_spacing
from cineflow.cine.clip import Cine
from cineflow.cine.errors import (
    DecodeError,
    NoPixelDataError,
    NotDicomError,
    SingleFrameError,
    TruncatedError,
    UnknownTypeError,
)
from cineflow.cine.sector import find_sector
from cineflow.cine.timing import frame_times
from cineflow.errors import CineflowError

# A pixel is coloured when its channels differ by more than JPEG's chroma error. A clip is coloured
# (Doppler) when more than this share of its sector is coloured in at least one frame.
_CHROMA_LEVELS = 24
_COLOURED_SHARE = 0.005
_ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"


def read_dicom(path: Path, name: str = "") -> Cine:
    """Read a DICOM multi-frame object as a `Cine`.

    Args:
        path: A DICOM part-10 file.
        name: Printable name without identity; "" names the clip by its pixels.

    Returns:
        The clip in grey, blank outside the sector. The rest of the header is dropped.

    Raises:
        NotDicomError: The DICM prefix is missing.
        TruncatedError: The file or its pixel data ends early.
        NoPixelDataError: The pixel data element is missing.
        SingleFrameError: The object has a single frame.
        UnknownTypeError: The frames are volumes.
        DecodeError: The compression or photometric interpretation is not supported, or a tag is
            damaged.
    """
    try:
        return _read(path, name)
    except CineflowError:
        raise
    except Exception as error:  # pydicom reads tags lazily and raises many types
        raise DecodeError(
            "a DICOM object with readable tags",
            f"{type(error).__name__}: {error}",
            "The file is damaged or does not follow the standard. Fetch or export it again.",
        ) from error


def _read(path: Path, name: str) -> Cine:
    header = _read_header(path)
    if header.get("SOPClassUID") == _ENHANCED_US_VOLUME:
        raise UnknownTypeError(
            "a cine of images",
            "a cine of volumes (Enhanced US Volume)",
            "Its slices would be read as frames. Export one plane of it as a 2-D loop.",
        )
    count = _count_frames(header)
    grey, colourful, notes = _grey_frames(header, count)
    sector, sector_note = find_sector(grey)
    coloured = float(colourful[sector].mean())
    if coloured > _COLOURED_SHARE:
        notes.append(
            f"{coloured:.0%} of the sector is coloured (Doppler?). It was converted to grey. The "
            "colour may move differently from the tissue."
        )
    times_ms, times_note = frame_times(header, count)
    spacing_mm, reason = pixel_spacing(header, sector)
    notes += [note for note in (sector_note, times_note) if note]
    grey[:, ~sector] = 0
    return Cine(grey, times_ms, spacing_mm, reason, sector, tuple(notes), name)


def _read_header(path: Path) -> Dataset:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            header = pydicom.dcmread(path)
        except InvalidDicomError:
            raise NotDicomError(
                "a DICOM file",
                "a file without the DICM prefix",
                "Give a DICOM part-10 file, an .mp4 or an .avi.",
            ) from None
        except Exception as error:  # pydicom raises many types on damaged bytes
            raise _truncated(f"{type(error).__name__} while reading the tags") from error
    # If the file ends inside an element, pydicom warns and returns what it has read.
    if any("End of file" in str(warning.message) for warning in caught):
        raise _truncated("the end of the file inside an element")
    for element in header.values():
        length, value = getattr(element, "length", None), getattr(element, "value", None)
        if length not in (None, 0xFFFFFFFF) and isinstance(value, bytes) and len(value) < length:
            raise _truncated(f"{len(value)} of the {length} bytes of element {element.tag}")
    return header


def _count_frames(header: Dataset) -> int:
    """Number of frames, checked against the bytes that are there."""
    if "PixelData" not in header:
        raise NoPixelDataError(
            "a DICOM object with pixel data",
            "an object without pixel data",
            "It is a structured report or a header, or the file was cut short.",
        )
    try:
        count = int(header.get("NumberOfFrames") or 1)
        height, width = int(header.Rows), int(header.Columns)
        bytes_per_pixel = int(header.SamplesPerPixel) * int(header.BitsAllocated) // 8
        syntax = header.file_meta.TransferSyntaxUID
    except (AttributeError, TypeError, ValueError) as error:
        raise _truncated(f"a picture description that cannot be read ({error})") from error
    if count < 2:
        raise SingleFrameError(
            "a cine of at least 2 frames", "1 frame", "Export the loop, not a still image."
        )
    if syntax.is_compressed:
        found = sum(1 for _ in _encoded_frames(header.PixelData, count))
        if found < count:
            raise _truncated(f"{found} of {count} frames")
    else:
        wanted = count * height * width * bytes_per_pixel
        if header.get("PhotometricInterpretation") == "YBR_FULL_422":
            wanted = wanted * 2 // 3
        if len(header.PixelData) < wanted:
            raise _truncated(f"{len(header.PixelData)} of {wanted} bytes of pixels")
    return count


def _encoded_frames(pixel_data: bytes, count: int) -> Iterator[bytes]:
    try:
        yield from generate_frames(pixel_data, number_of_frames=count)
    except Exception as error:  # a broken offset table or fragment, in many types
        raise _truncated(f"broken fragments of pixel data ({error})") from error


def _grey_frames(header: Dataset, count: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Grey frames, uint8 [T, H, W]; pixels coloured in any frame, bool [H, W]; notes."""
    photometric = str(header.get("PhotometricInterpretation", ""))
    shape = (count, int(header.Rows), int(header.Columns))
    notes: list[str] = []
    try:
        if photometric in ("MONOCHROME1", "MONOCHROME2"):
            return _from_monochrome(header, photometric, notes), np.zeros(shape[1:], bool), notes
        if photometric != "RGB" and not photometric.startswith(("YBR", "PALETTE")):
            raise _undecodable(header, f"photometric interpretation {photometric or 'missing'}")
        grey, coloured = np.empty(shape, np.uint8), np.zeros(shape[1:], bool)
        for index, frame in enumerate(iter_pixels(header)):
            rgb = apply_color_lut(frame, header) if photometric.startswith("PALETTE") else frame
            if rgb.dtype == np.uint16:
                rgb = (rgb >> 8).astype(np.uint8)
            # The luma of BT.601, which is also JPEG's Y.
            grey[index] = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
            coloured |= np.ptp(rgb, axis=-1) > _CHROMA_LEVELS
    except (RuntimeError, ValueError, NotImplementedError, AttributeError, OSError) as error:
        why = str(error).strip().splitlines()[-1].strip()  # pydicom gives the cause last
        if "truncated" in why:
            raise _truncated(f"a frame that cannot be decoded ({why})") from error
        raise _undecodable(header, why) from error
    notes.append(f"Stored in colour ({photometric}); converted to grey (BT.601 luma).")
    return grey, coloured, notes


def _from_monochrome(header: Dataset, photometric: str, notes: list[str]) -> np.ndarray:
    frames = np.stack(list(iter_pixels(header)))
    if frames.dtype != np.uint8 or "RescaleSlope" in header:
        values = apply_rescale(frames, header).astype(np.float32)
        low, high = float(values.min()), float(values.max())
        frames = np.round((values - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
        notes.append(f"Grey levels {low:g}..{high:g} were scaled to 0..255.")
    if photometric == "MONOCHROME1":
        frames = 255 - frames
        notes.append("Stored with white as zero (MONOCHROME1); the grey levels were inverted.")
    return frames


def _truncated(got: str) -> TruncatedError:
    return TruncatedError(
        "a complete DICOM file", got, "The copy is damaged or was cut short. Fetch it again."
    )


def _undecodable(header: Dataset, why: str) -> DecodeError:
    return DecodeError(
        "pixel data that Pillow and pydicom decode (uncompressed, RLE, JPEG baseline, JPEG 2000)",
        f"{header.file_meta.TransferSyntaxUID.name}: {why}",
        "Convert it first, for example with DCMTK: dcmdjpeg IN.dcm OUT.dcm.",
    )
