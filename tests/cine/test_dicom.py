"""DICOM clips: correct pixels, times and spacing, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.examples import get_path

from cineflow.cine import (
    NoPixelDataError,
    NotDicomError,
    SingleFrameError,
    TruncatedError,
    default_clip,
    read_cine,
)
from cineflow.cine.errors import DecodeError


def test_the_default_clip_is_real_and_in_pixels() -> None:
    clip = default_clip()
    assert clip.frames.shape == (30, 240, 320)
    assert clip.frame_period_ms == pytest.approx(33.333)
    # Its regions belong to a parent twice as large: a reader that trusts them halves lengths.
    assert clip.spacing_mm is None
    assert "x 84..595" in clip.spacing_reason
    assert "320x240" in clip.spacing_reason
    assert any("YBR_FULL_422" in note for note in clip.notes)


def test_the_grey_of_a_ybr_clip_is_the_luma_that_the_file_stores() -> None:
    header = pydicom.dcmread(get_path("ybr_color"))
    stored = next(iter(pydicom.pixels.iter_pixels(header, raw=True, indices=[0])))[..., 0]
    clip = default_clip()
    difference = np.abs(clip.frames[0].astype(int) - stored)[clip.sector]
    # The way through RGB rounds, and it clips where a coloured mark touches the sector.
    assert (difference > 1).mean() < 0.001
    assert difference.max() <= 3


def test_grey_frames_come_through_unchanged_inside_the_sector(drawn, write_dicom) -> None:
    frames, _ = drawn
    clip = read_cine(write_dicom(frames))
    np.testing.assert_array_equal(clip.frames[:, clip.sector], frames[:, clip.sector])
    np.testing.assert_allclose(clip.times_ms, 20.0 * np.arange(12))
    assert clip.notes == ()


def test_no_identity_is_kept(drawn, write_dicom) -> None:
    frames, _ = drawn
    clip = read_cine(write_dicom(frames, name="Doe_John.dcm"))
    text = repr((clip.name, clip.notes, clip.spacing_reason))
    assert "Doe" not in text
    assert "12345" not in text
    assert not clip.frames[:, :12, :60].any(), "the burned-in name is still there"


def test_a_colour_clip_is_converted_and_noted(drawn, write_dicom) -> None:
    frames, _ = drawn
    rgb = np.repeat(frames[..., None], 3, axis=3)
    neutral = read_cine(write_dicom(rgb))
    assert neutral.notes == ("Stored in colour (RGB); converted to grey (BT.601 luma).",)

    rgb[:, 50:80, 70:90] = (200, 20, 20)  # a Doppler box
    doppler = read_cine(write_dicom(rgb))
    assert any("coloured (Doppler?)" in note for note in doppler.notes)
    assert doppler.frames[0, 60, 80] == pytest.approx(0.299 * 200 + 0.587 * 20 + 0.114 * 20, abs=1)


def test_deep_and_inverted_grey_is_scaled_and_noted(drawn, write_dicom) -> None:
    frames, _ = drawn
    deep = read_cine(write_dicom(frames.astype(np.uint16) * 16))
    assert np.abs(deep.frames.astype(int) - frames)[:, deep.sector].max() <= 1
    assert any("scaled to 0..255" in note for note in deep.notes)
    negative = read_cine(write_dicom(255 - frames, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(negative.frames[:, negative.sector], frames[:, negative.sector])


@pytest.mark.parametrize("cut", [200, 340, 1000, 3000, 34_000, 40_000, 100_000, 224_000, 224_880])
def test_a_file_cut_anywhere_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes(Path(get_path("ybr_color")).read_bytes()[:cut])
    with pytest.raises((TruncatedError, NoPixelDataError)) as caught:
        read_cine(path)
    assert caught.value.remedy
    if cut >= 1000:
        assert isinstance(caught.value, TruncatedError)


def test_pixel_data_that_ends_early_is_refused(drawn, write_dicom, tmp_path: Path) -> None:
    frames, _ = drawn
    with pytest.raises(TruncatedError, match="of 230400 bytes"):
        read_cine(write_dicom(frames, PixelData=frames[:-1].tobytes()))

    header = pydicom.dcmread(get_path("ybr_color"))
    header.NumberOfFrames = 31
    path = tmp_path / "short.dcm"
    header.save_as(path)
    with pytest.raises(TruncatedError):
        read_cine(path)


def test_a_frame_whose_code_stream_is_cut_is_refused(tmp_path: Path) -> None:
    header = pydicom.dcmread(get_path("ybr_color"))
    whole = list(pydicom.encaps.generate_frames(header.PixelData, number_of_frames=30))
    whole[17] = whole[17][: len(whole[17]) // 2]
    header.PixelData = pydicom.encaps.encapsulate(whole)
    path = tmp_path / "cut-frame.dcm"
    header.save_as(path)
    with pytest.raises(TruncatedError, match="decoded"):
        read_cine(path)


def test_a_still_an_empty_object_and_a_text_file_are_refused(drawn, write_dicom, tmp_path) -> None:
    frames, _ = drawn
    with pytest.raises(SingleFrameError, match="1 frame"):
        read_cine(write_dicom(frames[:1]))
    with pytest.raises(SingleFrameError):
        read_cine(write_dicom(frames[:1], NumberOfFrames=None))
    with pytest.raises(NoPixelDataError):
        read_cine(write_dicom(frames, PixelData=None))
    text = tmp_path / "notes.dcm"
    text.write_text("not a DICOM file at all " * 20)
    with pytest.raises(NotDicomError, match="DICM"):
        read_cine(text)


def test_an_unknown_photometric_interpretation_is_refused(drawn, write_dicom) -> None:
    frames, _ = drawn
    with pytest.raises(DecodeError, match="HSV"):
        read_cine(write_dicom(frames, PhotometricInterpretation="HSV"))


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"BurnedInAnnotation": "YES"}, "identity is burned into its pixels"),
        ({"BurnedInAnnotation": "NO"}, "no identity is burned into its pixels"),
        ({}, "does not say whether identity is burned"),
    ],
)
def test_what_the_file_says_about_its_pixels_is_kept(drawn, write_dicom, tags, said) -> None:
    assert said in read_cine(write_dicom(drawn[0], **tags)).burned_in


@pytest.mark.parametrize(
    "uid", ["1.2.840.113619.5.2", "1.2.840.10008.1.2.4.110", "1.2.3", "\x1b[31mname"]
)
def test_a_transfer_syntax_that_is_not_known_is_named(drawn, write_dicom, uid: str) -> None:
    path = write_dicom(drawn[0])
    stored = b"1.2.840.10008.1.2.1\0"
    data = path.read_bytes()
    assert data.count(stored) == 1
    new = uid.encode() + b"\0" * (len(uid) % 2)
    at = data.index(stored) - 2  # after the length
    changed = data[:at] + len(new).to_bytes(2, "little") + new + data[at + 2 + len(stored) :]
    path.write_bytes(changed)
    with pytest.raises(DecodeError, match="transfer syntax of the standard") as refused:
        read_cine(path)
    assert ("something else" if "name" in uid else uid) in str(refused.value)
    assert "name" not in str(refused.value)


@pytest.mark.parametrize("tag", ["Rows", "BitsAllocated"])
def test_a_tag_that_is_absent_is_named(drawn, write_dicom, tag: str) -> None:
    path = write_dicom(drawn[0])
    object_ = pydicom.dcmread(path)
    delattr(object_, tag)
    object_.save_as(path)
    with pytest.raises(TruncatedError, match=f"without {tag}"):
        read_cine(path)
