"""The sector: it contains all moving tissue, dark corners included, but no text and no clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom.examples
import pytest

from cineflow.cine import default_clip, read_cine
from cineflow.cine.sector import WHOLE_FRAME_NOTE, find_sector


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    """Intersection over union."""
    return float((found & true).sum() / (found | true).sum())


def test_the_drawn_wedge_is_found(drawn) -> None:
    frames, wedge = drawn
    sector, note = find_sector(frames)
    assert note == ""
    assert overlap(sector, wedge) > 0.9
    assert not sector[:12, :60].any()  # the name
    assert not sector[106:, 138:].any()  # the clock changes in every frame but is thin


def test_an_ecg_trace_does_not_join_the_sector(drawn) -> None:
    frames, wedge = drawn
    x = np.arange(160)
    for index, frame in enumerate(frames):
        y = (112 + 4 * np.sin((x + 9 * index) / 5)).astype(np.int32)
        cv2.polylines(frame, [np.stack([x, y], axis=1)], False, 255)
    sector, _ = find_sector(frames)
    assert overlap(sector, wedge) > 0.88


def test_the_real_sector_is_a_wedge_without_text() -> None:
    clip = default_clip()
    assert 0.33 < clip.sector.mean() < 0.38
    rows, columns = np.nonzero(clip.sector)
    assert (rows.min(), rows.max()) == (22, 202)
    assert columns.min() >= 40
    assert not clip.sector[:26, :40].any()  # "PLA", the burned-in name field
    assert not clip.sector[:, 298:].any()  # the depth scale that touches the sector's corner
    assert not clip.sector[220:].any()  # the button row
    assert not clip.sector[20, 190]  # the orientation mark next to the apex
    assert not clip.frames[:, ~clip.sector].any()


def test_a_clip_that_stands_still_or_is_black_says_so(drawn) -> None:
    frames, wedge = drawn
    sector, note = find_sector(np.repeat(frames[:1], 5, axis=0))
    assert "Nothing moves" in note
    assert overlap(sector, wedge) > 0.85
    sector, note = find_sector(np.zeros((5, 40, 50), np.uint8))
    assert note == WHOLE_FRAME_NOTE
    assert sector.all()


def test_a_picture_that_fills_the_frame_keeps_all_of_it() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (6, 64, 80), dtype=np.uint8)
    sector, note = find_sector(noise)
    assert sector.all()
    assert note == WHOLE_FRAME_NOTE


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 2.0])
def test_text_under_the_noise_of_a_capture_card_is_outside_the_sector(sigma: float) -> None:
    colour = pydicom.examples.ybr_color.pixel_array
    frames = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in colour])
    rng = np.random.default_rng(0)
    clean, _ = find_sector(frames)
    for frame in frames:
        cv2.putText(frame, "DOE JOHN 1950", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 180)
        cv2.putText(frame, "HOSPITAL", (230, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255)
    noisy = frames + rng.normal(0, sigma, frames.shape)
    sector, note = find_sector(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    assert not sector[:18, :110].any()
    assert not sector[28:44, 228:300].any()
    assert overlap(sector, clean) > 0.8
    assert "noisy" in note


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_a_noisy_clip_that_stands_still_says_that_text_may_remain(drawn, sigma: float) -> None:
    still = np.repeat(drawn[0][:1], 12, axis=0)
    noisy = still + np.random.default_rng(3).normal(0, sigma, still.shape)
    _, note = find_sector(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    assert "text burned into" in note.lower()


def test_a_noisy_picture_between_black_bars_says_that_text_may_remain(drawn) -> None:
    frames = drawn[0] + np.random.default_rng(3).normal(0, 2, drawn[0].shape)
    noisy = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    _, note = find_sector(np.pad(noisy, ((0, 0), (0, 0), (30, 30))))
    assert "text remains visible" in note


def curved(picture: np.ndarray) -> tuple[int, int]:
    """A curved array: a fan with a hollow face at the top."""
    cv2.ellipse(picture, (160, -60), (280, 280), 0, 55, 125, 1, -1)
    cv2.circle(picture, (160, -60), 110, 0, -1)
    return 130, 40


def notched(picture: np.ndarray) -> tuple[int, int]:
    """A rectangle with a notch at the top."""
    cv2.rectangle(picture, (40, 30), (280, 220), 1, -1)
    cv2.rectangle(picture, (120, 30), (200, 90), 0, -1)
    return 125, 70


def biplane(picture: np.ndarray) -> tuple[int, int]:
    """Two sectors next to each other."""
    for x in (80, 240):
        cv2.ellipse(picture, (x, 20), (190, 190), 0, 68, 112, 1, -1)
    return 128, 60


@pytest.mark.parametrize("draw", [curved, notched, biplane])
@pytest.mark.parametrize(("noise", "level"), [(0.0, 255), (0.0, 60), (1.0, 255)])
def test_a_name_in_a_hollow_of_the_sector_is_outside(draw, noise: float, level: int) -> None:
    wedge = np.zeros((240, 320), np.uint8)
    where = draw(wedge)
    written = np.zeros_like(wedge)
    cv2.putText(written, "DOE JOHN", where, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    rng = np.random.default_rng(3)
    frames = np.zeros((12, 240, 320), np.uint8)
    for index, frame in enumerate(frames):
        speckle = cv2.GaussianBlur(rng.normal(0, 1, wedge.shape), (5, 5), 0)
        frame[:] = np.where(wedge, np.clip(90 + 160 * speckle, 1, 255), 0)
        frame[written > wedge] = level
        clock = (where[0], where[1] + 12)  # text that changes
        cv2.putText(frame, f"{index:02d}", clock, cv2.FONT_HERSHEY_SIMPLEX, 0.3, level)
    if noise:
        frames = np.clip(np.rint(frames + rng.normal(0, noise, frames.shape)), 0, 255)
    sector, _ = find_sector(frames.astype(np.uint8))
    assert not (sector & (written > wedge)).any()
    assert overlap(sector, wedge > 0) > 0.85
    if draw is biplane:
        assert sector[:, :160].any()
        assert sector[:, 160:].any()


def test_the_regions_of_the_file_cut_the_sector_down(drawn) -> None:
    frames, wedge = drawn
    regions = np.zeros(wedge.shape, bool)
    regions[:, 60:] = True
    sector, _ = find_sector(frames, regions)
    assert not sector[:, :60].any()
    assert overlap(sector, wedge & regions) > 0.88
    elsewhere = np.zeros(wedge.shape, bool)
    elsewhere[:20] = True  # regions of a different picture
    np.testing.assert_array_equal(find_sector(frames, elsewhere)[0], find_sector(frames)[0])


def test_a_picture_that_fills_its_region_keeps_the_region() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (6, 64, 80), dtype=np.uint8)
    regions = np.zeros((64, 80), bool)
    regions[10:50, 10:70] = True
    sector, note = find_sector(noise, regions)
    np.testing.assert_array_equal(sector, regions)
    assert "region that the file states" in note


@pytest.mark.parametrize(
    ("tags", "whole"),
    [
        ({"Modality": "MR"}, True),
        ({"Modality": "MR", "BurnedInAnnotation": "NO"}, True),
        ({"Modality": "MR", "BurnedInAnnotation": "YES"}, False),
        ({"Modality": "MR", "ConversionType": "WSD"}, False),
        ({"Modality": "MR", "ConversionType": "SYN", "BurnedInAnnotation": "NO"}, True),
        ({"Modality": "OT", "ConversionType": "SYN", "BurnedInAnnotation": "NO"}, True),
        ({"Modality": "OT", "ConversionType": "SYN"}, False),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, False),
    ],
)
def test_only_ultrasound_has_a_sector(
    drawn, write_dicom: Callable[..., Path], tags: dict[str, str], whole: bool
) -> None:
    """What stands still in MR is tissue as well: a model that labels it must see it."""
    frames, wedge = drawn
    clip = read_cine(write_dicom(frames, **tags))
    assert clip.sector.all() == whole
    assert any("has no scan sector" in note for note in clip.notes) == whole
    if not whole:
        assert overlap(clip.sector, wedge) > 0.9
