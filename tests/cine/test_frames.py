"""Frames as they are stored: how many, in which code, and what is said where tags disagree."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.examples import get_path
from pydicom.uid import (
    MPEG4HP41,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cineflow.cine import (
    DecodeError,
    NotCineError,
    SingleFrameError,
    TooLargeError,
    TruncatedError,
    UnknownTypeError,
    read_cine,
)
from cineflow.errors import MissingDependencyError

NOISE = np.random.default_rng(1).integers(0, 256, (12, 48, 64)).astype(np.uint8)


def encoded(path: Path, frames: list[bytes], syntax: str, offsets: bool = True, **tags) -> Path:
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate(frames, has_bot=offsets)
    header["PixelData"].VR = "OB"
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.save_as(path)
    return path


def test_more_frames_than_stated_are_read_and_said(write_dicom) -> None:
    clip = read_cine(write_dicom(NOISE, NumberOfFrames=5))
    np.testing.assert_array_equal(clip.frames, NOISE)
    assert "NumberOfFrames states 5, but 12 frames are stored" in " ".join(clip.notes)


def test_frames_without_a_stated_number_are_counted(write_dicom) -> None:
    clip = read_cine(write_dicom(NOISE, NumberOfFrames=None))
    np.testing.assert_array_equal(clip.frames, NOISE)
    assert "NumberOfFrames is missing, but 12 frames" in " ".join(clip.notes)


def test_bytes_after_the_last_frame_are_said(write_dicom) -> None:
    clip = read_cine(write_dicom(NOISE, PixelData=NOISE.tobytes() + bytes(100)))
    np.testing.assert_array_equal(clip.frames, NOISE)
    assert "100 bytes after the last frame" in " ".join(clip.notes)


@pytest.mark.parametrize("offsets", [True, False])
@pytest.mark.parametrize("stated", [5, None])
def test_encapsulated_frames_are_counted(offsets: bool, stated, tmp_path: Path) -> None:
    header = pydicom.dcmread(get_path("ybr_color"))
    frames = list(generate_frames(header.PixelData, number_of_frames=30))
    path = tmp_path / "clip.dcm"
    header.save_as(path)
    encoded(path, frames, JPEGBaseline8Bit, offsets, NumberOfFrames=stated)
    clip = read_cine(path)
    assert len(clip) == 30
    assert "30 frames are stored" in " ".join(clip.notes)


def test_a_frame_in_several_fragments_is_one_frame(tmp_path: Path) -> None:
    header = pydicom.dcmread(get_path("ybr_color"))
    whole = read_cine(get_path("ybr_color"))
    frames = list(generate_frames(header.PixelData, number_of_frames=30))
    header.PixelData = encapsulate(frames, fragments_per_frame=3, has_bot=False)
    path = tmp_path / "clip.dcm"
    header.save_as(path)
    np.testing.assert_array_equal(read_cine(path).frames, whole.frames)


def test_grey_in_each_code(write_dicom) -> None:
    import jpeg_ls
    from openjpeg.utils import encode_array
    from pydicom.pixels.encoders import RLELosslessEncoder

    path = write_dicom(NOISE)
    rle = [
        RLELosslessEncoder.encode(
            frame.tobytes(),
            rows=48,
            columns=64,
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=8,
            bits_stored=8,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
        )
        for frame in NOISE
    ]
    jls = [bytes(jpeg_ls.encode_array(frame)) for frame in NOISE]
    j2k = [bytes(encode_array(frame, photometric_interpretation=2)) for frame in NOISE]
    for frames, syntax in (
        (rle, RLELossless),
        (jls, JPEGLSLossless),
        (jls, JPEGLSNearLossless),
        (j2k, JPEG2000Lossless),
        (j2k, HTJ2KLossless),  # OpenJPEG tells the block coder by the code stream itself
    ):
        np.testing.assert_array_equal(read_cine(encoded(path, frames, syntax)).frames, NOISE)
    jpeg = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in NOISE]
    clip = read_cine(encoded(path, jpeg, JPEGBaseline8Bit))
    for frame, code in zip(clip.frames, jpeg, strict=True):
        np.testing.assert_array_equal(frame, cv2.imdecode(np.frombuffer(code, np.uint8), 0))


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg_of_many_bits_is_what_was_stored(
    bits: int, signed: bool, write_dicom
) -> None:
    codec = pytest.importorskip("imagecodecs")
    deep = NOISE[:4].astype(np.int32) * ((1 << bits) - 1) // 255
    deep -= (1 << (bits - 1)) if signed else 0
    tags = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(signed)}
    stored = deep.astype(np.int16 if signed else np.uint16)
    wanted = read_cine(write_dicom(stored, "native.dcm", **tags))
    codes = (deep & ((1 << bits) - 1)).astype(np.uint16)
    frames = [codec.jpeg8_encode(one, bitspersample=bits, lossless=True) for one in codes]
    path = encoded(write_dicom(stored, **tags), frames, JPEGLossless)
    np.testing.assert_array_equal(read_cine(path).frames, wanted.frames)


def test_jpeg_of_12_bits_needs_its_package(write_dicom, monkeypatch) -> None:
    codec = pytest.importorskip("imagecodecs")
    deep = cv2.GaussianBlur(NOISE[:4].transpose(1, 2, 0), (0, 0), 3).transpose(2, 0, 1) * 16.0
    deep = np.ascontiguousarray(np.rint(deep), np.uint16)
    frames = [codec.jpeg8_encode(one, level=99, bitspersample=12) for one in deep]
    tags = {"BitsStored": 12, "HighBit": 11}
    wanted = read_cine(write_dicom(deep, "native.dcm", **tags)).frames.astype(int)
    path = encoded(write_dicom(deep, **tags), frames, JPEGExtended12Bit)
    assert np.abs(read_cine(path).frames - wanted).max() <= 3
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingDependencyError, match="imagecodecs"):
        read_cine(path)


@pytest.mark.parametrize(
    ("syntax", "code", "reason", "advice"),
    [
        (JPEGLSLossless, b"\xff\xd8nothing", "not such a code stream", "Export"),
        (HTJ2KLossless, b"nothing at all", "not such a code stream", "Export"),
        (JPEGExtended12Bit, (0xC1, 10, 1), "of 10 bits", "dcmdjpeg"),
        (JPEGExtended12Bit, (0xC9, 12, 1), "arithmetic", "dcmdjpeg"),
        (MPEG4HP41, b"nothing at all", "MPEG-4 AVC/H.264 High Profile / Level 4.1", ".mp4"),
        ("1.2.840.10008.1.2.7.1", b"nothing", "SMPTE ST 2110-20", "transfer syntax"),
    ],
)
def test_the_reason_and_the_advice_fit_the_code(syntax, code, reason, advice, write_dicom) -> None:
    frames = NOISE
    if isinstance(code, tuple):  # the frame header of a JPEG: process, bits, components
        process, bits, count = code
        size = b"\x00\x30\x00\x40"
        code = bytes([0xFF, 0xD8, 0xFF, process, 0, 11, bits, *size, count, 1, 0x11, 0])
        code, frames = code + bytes(40), NOISE.astype(np.uint16)
    path = encoded(write_dicom(frames), 12 * [code], syntax)
    with pytest.raises(DecodeError) as caught:
        read_cine(path)
    assert reason in caught.value.got
    assert advice in caught.value.remedy
    assert ("dcmdjpeg" in caught.value.remedy) == (advice == "dcmdjpeg")
    assert "0x" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


def test_a_video_inside_dicom(drawn, tmp_path: Path, write_dicom) -> None:
    frames = drawn[0]
    writer = cv2.VideoWriter(
        str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 50.0, (160, 120)
    )
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    path = encoded(
        write_dicom(frames, PhotometricInterpretation="YBR_PARTIAL_420", SamplesPerPixel=3),
        [(tmp_path / "v.mp4").read_bytes()],
        MPEG4HP41,
    )
    clip = read_cine(path)
    assert clip.frames.shape == frames.shape
    assert clip.frame_period_ms == 20.0
    assert np.abs(clip.frames.astype(int) - frames)[:, clip.sector].mean() < 8


@pytest.mark.parametrize(
    ("tags", "error", "what"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, NotCineError, "a dose grid"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, NotCineError, "masks"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, NotCineError, "CT stack"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, NotCineError, "Enhanced CT"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.30"}, NotCineError, "parametric map"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"}, NotCineError, "tiles"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.2"}, UnknownTypeError, "volumes"),
        ({"FrameIncrementPointer": 0x3004000C}, NotCineError, "planes of a dose grid"),
        ({"FrameIncrementPointer": [0x00540010, 0x00540020]}, NotCineError, "energy windows"),
        ({"FrameIncrementPointer": [0x00540080]}, NotCineError, "through slices"),
        ({"FrameIncrementPointer": 0x00182005}, NotCineError, "slice locations"),
        ({"FrameIncrementPointer": 0x00182001}, NotCineError, "pages"),
    ],
)
def test_what_is_not_a_cine_is_named(tags, error, what: str, write_dicom) -> None:
    with pytest.raises(error) as caught:
        read_cine(write_dicom(NOISE, **tags))
    assert what in caught.value.got


def test_one_frame_is_not_a_cine(write_dicom) -> None:
    with pytest.raises(SingleFrameError):
        read_cine(write_dicom(NOISE[:1], FrameIncrementPointer=0x00540080))


def test_an_offset_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    header = pydicom.dcmread(get_path("ybr_color"))
    data = bytearray(header.PixelData)
    data[12:16] = (1).to_bytes(4, "little")  # the second frame begins at byte 1
    header.PixelData = bytes(data)
    path = tmp_path / "clip.dcm"
    header.save_as(path)
    with pytest.raises(TruncatedError, match="offset table"):
        read_cine(path)


def test_r_waves_are_triggers(write_dicom) -> None:
    clip = read_cine(write_dicom(NOISE, RWaveTimeVector=[12.5, 180.0]))
    assert clip.triggers_ms is not None
    assert clip.triggers_ms.tolist() == [12.5, 180.0]
    assert read_cine(write_dicom(NOISE)).triggers_ms is None


def test_tiny_frames_without_number_are_refused(write_dicom) -> None:
    """A damaged Rows and Columns make a frame of one byte, of which the file holds many."""
    many = np.zeros((2, 1, 300_000), np.uint8)
    path = write_dicom(many, NumberOfFrames=None, Rows=1, Columns=1)
    with pytest.raises(TooLargeError, match="600000"):
        read_cine(path)


def test_pixels_longer_than_the_file_are_refused(write_dicom) -> None:
    path = write_dicom(NOISE)
    data = path.read_bytes()
    at = data.rindex(b"OB") + 4 if b"OB" in data[-NOISE.nbytes - 16 :] else data.rindex(b"OW") + 4
    path.write_bytes(data[:at] + (2**31).to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(TruncatedError, match="of 2147483647 bytes"):
        read_cine(path)
