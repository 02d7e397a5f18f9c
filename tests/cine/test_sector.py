"""The sector: where tissue moves, without the text, the clock and the dark corners lost."""

from __future__ import annotations

import cv2
import numpy as np

from cineflow.cine import default_clip
from cineflow.cine.sector import find_sector


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    """Intersection over union."""
    return float((found & true).sum() / (found | true).sum())


def test_the_drawn_wedge_is_found(drawn) -> None:
    frames, wedge = drawn
    sector, note = find_sector(frames)
    assert note == ""
    assert overlap(sector, wedge) > 0.9
    assert not sector[:12, :60].any()  # the name
    assert not sector[106:, 138:].any()  # the clock changes in every frame, and is thin


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
    assert not clip.sector[20, 190]  # the orientation mark beside the apex
    assert not clip.frames[:, ~clip.sector].any()


def test_a_clip_that_stands_still_or_is_black_says_so(drawn) -> None:
    frames, wedge = drawn
    sector, note = find_sector(np.repeat(frames[:1], 5, axis=0))
    assert "Nothing moves" in note
    assert overlap(sector, wedge) > 0.85
    sector, note = find_sector(np.zeros((5, 40, 50), np.uint8))
    assert "No sector" in note
    assert sector.all()


def test_a_picture_that_fills_the_frame_keeps_all_of_it() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (6, 64, 80), dtype=np.uint8)
    sector, note = find_sector(noise)
    assert sector.mean() > 0.98
    assert note == ""
