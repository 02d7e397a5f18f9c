"""Stored values to grey: palettes, byte orders, depths, padding, windows, YBR, and what is said."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from cineflow.cine import DecodeError, read_cine


def moving(dtype: type = np.uint8) -> np.ndarray:
    """Noise that fills the frame, so that nothing is blanked."""
    return np.random.default_rng(1).integers(0, 256, (4, 48, 64)).astype(dtype)


def big_endian(path, frames: np.ndarray, words: bool | None = None) -> None:
    """Rewrite an object as big endian, its pixels included."""
    read = pydicom.dcmread(path)
    header = Dataset()
    header.update({element.tag: element for element in read})
    header.file_meta = read.file_meta
    header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    if words is None:
        words = frames.dtype.itemsize > 1
        header.PixelData = frames.astype(frames.dtype.newbyteorder(">")).tobytes()
    else:
        header.PixelData = np.frombuffer(frames.tobytes(), "<u2").byteswap().tobytes()
    header["PixelData"].VR = "OW" if words else "OB"
    header.save_as(path, enforce_file_format=True)


def palette(entries: np.ndarray, bits: int = 16, order: str = "<") -> dict[str, object]:
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    data = entries.astype(f"{order}u2").tobytes()
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tags[f"{colour}PaletteColorLookupTableData"] = data
    return tags


@pytest.mark.parametrize(
    ("entries", "bits"),
    [
        (np.arange(256), 16),  # 8-bit entries in words that are said to be 16 bits
        (np.arange(256), 8),  # and that are said to be 8
        (np.arange(256) << 8, 16),
        (np.arange(256) * 257, 16),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_palette_entries_of_any_width(entries, bits, order, write_dicom) -> None:
    frames = moving()
    path = write_dicom(frames, **palette(entries, bits, order))
    if order == ">":
        big_endian(path, frames)
    np.testing.assert_array_equal(read_cine(path).frames, frames)


def test_a_segmented_palette(write_dicom) -> None:
    frames = moving()
    tags = palette(np.arange(256))
    for colour in ("Red", "Green", "Blue"):
        del tags[f"{colour}PaletteColorLookupTableData"]
        # One entry of 0, then a line of 255 entries to 65535.
        codes = np.array([0, 1, 0, 1, 255, 65535], "<u2")
        tags[f"Segmented{colour}PaletteColorLookupTableData"] = codes.tobytes()
    assert np.abs(read_cine(write_dicom(frames, **tags)).frames.astype(int) - frames).max() <= 1


def test_a_palette_without_entries_says_so(write_dicom) -> None:
    path = write_dicom(moving(), PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(DecodeError, match="no red entries"):
        read_cine(path)


@pytest.mark.parametrize("stored", [10, 12, 16])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_colour_of_any_depth(stored: int, endian: str, write_dicom) -> None:
    frames = moving()
    deep = np.repeat((frames.astype(np.uint16) << (stored - 8))[..., None], 3, axis=3)
    path = write_dicom(deep, BitsStored=stored, HighBit=stored - 1)
    if endian == "big":
        big_endian(path, deep)
    np.testing.assert_array_equal(read_cine(path).frames, frames)


@pytest.mark.parametrize("depth", [10, 12, 14, 16])
def test_deep_grey_in_both_byte_orders(depth: int, write_dicom) -> None:
    frames = moving()
    frames[0, 0, :2] = 0, 255  # both ends occur
    deep = frames.astype(np.uint16) << (depth - 8)
    path = write_dicom(deep, BitsStored=depth, HighBit=depth - 1)
    np.testing.assert_array_equal(read_cine(path).frames, frames)
    big_endian(path, deep)
    np.testing.assert_array_equal(read_cine(path).frames, frames)


def test_bits_above_the_stored_ones_are_not_grey(write_dicom) -> None:
    frames = moving()
    frames[0, 0, :2] = 0, 255
    deep = frames.astype(np.uint16) << 4 | 0x8000  # an overlay in the highest bit
    clip = read_cine(write_dicom(deep, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(clip.frames, frames)


def test_odd_frames_of_bytes_in_big_endian_words(write_dicom) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 49, 63)).astype(np.uint8)
    path = write_dicom(frames)
    big_endian(path, frames, words=True)
    np.testing.assert_array_equal(read_cine(path).frames, frames)


@pytest.mark.parametrize("tagged", [True, False])
def test_padding_is_no_grey_level(tagged: bool, write_dicom) -> None:
    frames = moving(np.int16)
    frames[0, 8, 8:10] = 0, 255
    frames[:, :, :4] = -32768
    tags = {"PixelRepresentation": 1}
    if tagged:
        tags["PixelPaddingValue"] = -32768
    clip = read_cine(write_dicom(frames, **tags))
    np.testing.assert_array_equal(clip.frames[..., 4:], frames[..., 4:])
    assert not clip.frames[..., :4].any()
    assert "adding" in " ".join(clip.notes)


def test_hot_pixels_do_not_set_the_scale(write_dicom) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 128, 160)).astype(np.uint16)
    frames[0, 8, 8:10] = 0, 255
    frames[1, 5, 5] = frames[2, 9, 30] = 60000
    clip = read_cine(write_dicom(frames))
    cool = frames < 256
    assert np.abs(clip.frames.astype(int) - frames)[cool].max() <= 1
    assert "2 pixels above" in " ".join(clip.notes)


@pytest.mark.parametrize(
    ("window", "function", "levels"),
    [
        ((100.0, 50.0), None, {75: 0, 100: 130, 124: 255}),  # (100 - 99.5) / 49 + 0.5
        ((100.0, 50.0), "LINEAR_EXACT", {75: 0, 100: 128, 125: 255}),
        ((100.0, 50.0), "SIGMOID", {100: 128, 125: 225}),  # 255 / (1 + exp(-2))
    ],
)
def test_a_window_is_used(window, function, levels, write_dicom) -> None:
    frames = moving(np.uint16)
    tags = {"WindowCenter": window[0], "WindowWidth": window[1]}
    if function is not None:
        tags["VOILUTFunction"] = function
    clip = read_cine(write_dicom(frames, **tags))
    for value, level in levels.items():
        assert np.unique(clip.frames[frames == value]).tolist() == [level]
    assert "window was used" in " ".join(clip.notes)


def test_a_window_beside_the_picture_is_not_used(write_dicom) -> None:
    clip = read_cine(write_dicom(moving(np.uint16), WindowCenter=5000.0, WindowWidth=10.0))
    assert clip.frames.std() > 60
    assert "it was not used" in " ".join(clip.notes)


def test_native_ybr_full_422_is_its_luma(write_dicom) -> None:
    luma = moving()
    stored = np.full((4, 48, 32, 4), 128, np.uint8)  # Y Y Cb Cr
    stored[..., :2] = luma.reshape(4, 48, 32, 2)
    path = write_dicom(
        np.repeat(luma[..., None], 3, axis=3),
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=stored.tobytes(),
    )
    clip = read_cine(path)
    np.testing.assert_array_equal(clip.frames, luma)
    assert not any("coloured" in note for note in clip.notes)


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_PARTIAL_422"])
def test_other_ybr(photometric: str, write_dicom) -> None:
    luma = np.clip(moving(), 16, 235)
    if photometric == "YBR_FULL":
        stored = np.dstack([luma.reshape(-1, 64), np.full((192, 64, 2), 128, np.uint8)])
        wanted = luma
    else:
        stored = np.full((4, 48, 32, 4), 128, np.uint8)
        stored[..., :2] = luma.reshape(4, 48, 32, 2)
        wanted = np.rint((luma.astype(float) - 16) * 255 / 219).astype(np.uint8)
    path = write_dicom(
        np.repeat(luma[..., None], 3, axis=3),
        PhotometricInterpretation=photometric,
        PixelData=stored.tobytes(),
    )
    np.testing.assert_array_equal(read_cine(path).frames, wanted)


def test_black_and_poor_clips_say_so(write_dicom) -> None:
    black = read_cine(write_dicom(np.zeros((4, 48, 64), np.uint8)))
    assert any("All frames are black" in note for note in black.notes)
    poor = read_cine(write_dicom(moving() // 64 * 64))
    assert any("4 grey levels only" in note for note in poor.notes)


def test_a_tag_cannot_send_escape_codes_to_the_terminal(write_dicom) -> None:
    path = write_dicom(moving(), PhotometricInterpretation="\x1b]0;X\x07RGB")
    with pytest.raises(DecodeError) as caught:
        read_cine(path)
    assert not [letter for letter in str(caught.value) if ord(letter) < 32]
    assert not [letter for letter in caught.value.got if ord(letter) < 32]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Rows": 0}, "a picture of 0x64 pixels"),
        ({"BitsAllocated": 12}, "samples of 12 bits"),
        ({"BitsStored": 9}, "9 bits stored"),
        ({"SamplesPerPixel": 2}, "2 samples per pixel"),
        ({"SamplesPerPixel": 3, "NumberOfFrames": 1}, "MONOCHROME2 with 3 samples"),
    ],
)
def test_contradicting_tags_are_named(tags, reason: str, write_dicom) -> None:
    frames = np.concatenate([moving()] * 3)
    with pytest.raises(DecodeError, match=reason):
        read_cine(write_dicom(frames, **tags))
