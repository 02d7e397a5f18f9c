"""Mutated files and what must become of them; run in a process of its own by `test_fuzz.py`.

A damaged file is read or refused with a typed error. Nothing else may happen: no other exception,
no crash, no read of more than ten seconds, and no number that the damaged file does not state.
"""

from __future__ import annotations

import faulthandler
import io
import json
import math
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # before the first video is opened

from cineflow.cine import Cine, read_cine, read_cines
from cineflow.errors import CineflowError

LONGEST_S = 10
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def frames(dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(0, 200, (4, 40, 48)).astype(dtype)


def dicom(syntax: str, pixels: bytes | list[bytes], **tags: object) -> bytes:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    region = Dataset()
    region.RegionSpatialFormat = region.RegionDataType = 1
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 47, 39
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.04, 0.05
    values: dict[str, object] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1",
        "SOPInstanceUID": "1.2.3",
        "NumberOfFrames": 4,
        "Rows": 40,
        "Columns": 48,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "FrameIncrementPointer": 0x00181063,
        "FrameTime": 33.5,
        "SequenceOfUltrasoundRegions": Sequence([region]),
        **tags,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(header, keyword, value)
    header.PixelData = pixels if isinstance(pixels, bytes) else encapsulate(pixels)
    header["PixelData"].VR = "OW" if values["BitsAllocated"] == 16 else "OB"
    made = io.BytesIO()
    header.save_as(made, enforce_file_format=True)
    return made.getvalue()


def dicom_seeds() -> list[bytes]:
    import jpeg_ls
    from imagecodecs import jpeg8_encode
    from openjpeg.utils import encode_array
    from pydicom.pixels.encoders import RLELosslessEncoder

    grey, deep = frames(), frames(np.int16) * 7 - 300
    rgb = np.repeat(grey[..., None], 3, axis=3)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    words = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1}
    about = {
        "rows": 40,
        "columns": 48,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "bits_allocated": 8,
        "bits_stored": 8,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
    }
    palette = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{name}PaletteColorLookupTableData"] = (
            (np.arange(256) * 257).astype("<u2").tobytes()
        )
    groups = []
    for phase in (2, 0, 3, 1):
        item, heart, place = Dataset(), Dataset(), Dataset()
        heart.NominalCardiacTriggerDelayTime = 45.0 * phase
        place.ImagePositionPatient = [0.0, 0.0, 8.0]
        item.CardiacSynchronizationSequence = Sequence([heart])
        item.PlanePositionSequence = Sequence([place])
        groups.append(item)
    enhanced = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1",
        "PerFrameFunctionalGroupsSequence": Sequence(groups),
        "FrameTime": None,
        "FrameIncrementPointer": None,
        "PixelSpacing": [0.7, 0.9],
    }
    vector = {"FrameIncrementPointer": 0x00181065, "FrameTimeVector": [0.0, 20.0, 60.0, 20.0]}
    window = {"WindowCenter": 300.0, "WindowWidth": 900.0, "RescaleSlope": 2, "RescaleIntercept": 5}
    jpeg = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in rgb]
    twelve = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    codes = deep.view(np.uint16)
    return [
        dicom(
            JPEGExtended12Bit,
            [jpeg8_encode(one & 4095, bitspersample=12) for one in codes],
            **twelve,
        ),
        dicom(
            JPEGLossless,
            [jpeg8_encode(one, bitspersample=16, lossless=True) for one in codes],
            **words,
        ),
        dicom(ExplicitVRLittleEndian, grey.tobytes()),
        dicom(ImplicitVRLittleEndian, grey.tobytes(), **vector),
        dicom(DeflatedExplicitVRLittleEndian, grey.tobytes()),
        dicom(ExplicitVRLittleEndian, deep.tobytes(), **words, **window, PixelPaddingValue=-300),
        dicom(ExplicitVRLittleEndian, rgb.tobytes(), **colour),
        dicom(ExplicitVRLittleEndian, grey.tobytes(), **palette),
        dicom(ExplicitVRLittleEndian, deep.tobytes(), **words, **enhanced),
        dicom(RLELossless, [RLELosslessEncoder.encode(frame.tobytes(), **about) for frame in grey]),
        dicom(JPEGBaseline8Bit, jpeg, **{**colour, "PhotometricInterpretation": "YBR_FULL_422"}),
        dicom(JPEGLSLossless, [bytes(jpeg_ls.encode_array(frame)) for frame in grey]),
        dicom(
            JPEG2000Lossless,
            [bytes(encode_array(frame, photometric_interpretation=2)) for frame in grey],
        ),
    ]


def video_seeds(folder: Path) -> list[tuple[str, bytes]]:
    seeds = []
    for name, codec in (("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "MJPG")):
        path = folder / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (48, 40))
        for frame in np.repeat(frames(), 2, axis=0):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
        writer.release()
        seeds.append((path.suffix, path.read_bytes()))
    return seeds


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes: bytes, numbers, blocks, or the end."""
    made = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        # Half of the changes hit the first 2 kB, where most of the structure is.
        reach = min(len(made), 2048) if rng.random() < 0.5 else len(made)
        at = int(rng.integers(min(128, reach - 1), reach)) if reach > 130 else 0
        size = int(rng.integers(1, 64))
        match rng.integers(6):
            case 0:
                made[at] = rng.integers(256)
            case 1:
                made[at : at + size] = rng.bytes(size)
            case 2:
                width = int(rng.choice([1, 2, 4]))
                value = int(rng.choice(_INTERESTING)) & ((1 << 8 * width) - 1)
                made[at : at + width] = value.to_bytes(width, str(rng.choice(["little", "big"])))
            case 3:
                del made[at : at + size]
            case 4:
                made[at:at] = made[at : at + size]
            case 5:
                if rng.random() < 0.3:
                    del made[at:]
    return bytes(made)


def check(clip: Cine) -> None:
    """Every clip that is returned is whole."""
    steps = np.diff(clip.times_ms)
    assert np.isfinite(clip.times_ms).all(), "times"
    assert (steps > 0).all(), "times"
    assert clip.spacing_mm is None or all(math.isfinite(v) and v > 0 for v in clip.spacing_mm)
    assert clip.spacing_reason
    assert not clip.frames[:, ~clip.sector].any(), "pixels outside the sector"
    text = repr((clip.notes, clip.spacing_reason, clip.burned_in))
    assert text.isprintable(), "control characters"


def check_dicom(clip: Cine, path: Path) -> None:
    """Times, spacing and number of frames are what the file states, or a note says otherwise."""
    check(clip)
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # the damage is in the file's own tags, which are not needed
        return
    if "Rows" not in header:  # pydicom reads a damaged start differently, and sees no tags at all
        return
    said = " ".join(clip.notes)
    stated = header.get("NumberOfFrames")
    explained = any(word in said for word in ("NumberOfFrames", "slice", "left out"))
    assert stated == len(clip) or explained, "frames"
    steps = np.diff(clip.times_ms)
    if header.get("FrameIncrementPointer") == 0x00181063 and "frame time" not in said:
        assert np.allclose(steps, float(header.FrameTime), rtol=1e-6), "frame time"
    if clip.spacing_reason.startswith("SequenceOfUltrasoundRegions") and clip.spacing_mm is None:
        assert "not believed" in clip.spacing_reason, "spacing"
    elif clip.spacing_reason.startswith("SequenceOfUltrasoundRegions"):
        region = header.SequenceOfUltrasoundRegions[0]
        wanted = [10 * abs(region.PhysicalDeltaY), 10 * abs(region.PhysicalDeltaX)]
        assert np.allclose(clip.spacing_mm, wanted), "spacing"


def _peak_bytes() -> int:
    """Of this program alone: getrusage would begin with the peak of the one that started it."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def run(kind: str, first: int, count: int) -> dict[str, object]:
    """Read mutated files number `first` to `first + count`, and count what became of them."""
    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    longest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = (
            [(".dcm", seed) for seed in dicom_seeds()] if kind == "dicom" else video_seeds(folder)
        )
        for number in range(first, first + count):
            suffix, seed = seeds[number % len(seeds)]
            path = folder / f"x{suffix}"
            path.write_bytes(mutate(seed, np.random.default_rng([number, 17])))
            faulthandler.dump_traceback_later(LONGEST_S, exit=True)
            began = time.monotonic()
            try:
                for clip in read_cines(path) if kind == "dicom" else [read_cine(path)]:
                    check_dicom(clip, path) if kind == "dicom" else check(clip)
                outcomes["read"] += 1
            except CineflowError as error:
                if not str(error).isprintable():
                    raise ValueError(f"file {number}: control characters") from error
                outcomes[type(error).__name__] += 1
            except BaseException:
                print(f"file {number} of {kind}", file=sys.stderr)
                (Path(tempfile.gettempdir()) / f"fuzz-{kind}-{number}{suffix}").write_bytes(
                    path.read_bytes()
                )
                raise
            finally:
                longest = max(longest, time.monotonic() - began)
                faulthandler.cancel_dump_traceback_later()
    peak = _peak_bytes()
    return {"outcomes": dict(outcomes), "longest_s": longest, "peak_bytes": peak}


if __name__ == "__main__":
    faulthandler.enable()
    for job in sys.argv[1:]:  # for example dicom:0:500
        of, begin, files = job.split(":")
        print(json.dumps(run(of, int(begin), int(files))))
