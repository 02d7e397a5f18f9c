"""Finding a repeated beat and measuring how well tracked points return."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.closure import BeatPair, find_beat, picture_shift, point_closure


def beating(count: int, period: float, drift: float = 0.0) -> np.ndarray:
    """Speckle in two halves that swing by 6 px, a quarter beat apart, and slide by `drift` px."""
    rng = np.random.default_rng(5)
    wide = rng.normal(size=(60, 120))
    kernel = np.exp(-((np.arange(25) - 12.0) ** 2) / 50)
    wide = np.apply_along_axis(np.convolve, 1, wide, kernel, "same")
    wide = np.apply_along_axis(np.convolve, 0, wide, kernel, "same")
    wide = 128 + 40 * wide / wide.std()
    x = np.arange(80)
    frames = []
    for index in range(count):
        phase = 2 * np.pi * index / period
        swings = [6 * np.sin(phase)] * 30 + [6 * np.cos(phase)] * 30
        frames.append(
            [
                np.interp(x + 20 - swing - drift * index, np.arange(120), row)
                for row, swing in zip(wide, swings, strict=True)
            ]
        )
    return np.clip(frames, 0, 255).astype(np.uint8)


SECTOR = np.ones((60, 80), bool)


def test_the_beat_is_found_with_its_length() -> None:
    frames = beating(40, period=20)
    beat, reason = find_beat(frames, np.arange(40) * 40.0, SECTOR)
    assert reason == ""
    assert beat is not None
    assert beat.end - beat.start == 20
    assert beat.similarity > 0.99
    assert beat.shift_px == (0, 0)


def test_the_shift_of_a_picture_is_measured_without_a_tracker() -> None:
    frame = beating(1, period=20)[0]
    moved = np.roll(frame, (-1, 3), axis=(0, 1))
    assert picture_shift(frame, moved, SECTOR) == (3, -1)
    assert picture_shift(frame, frame, SECTOR) == (0, 0)
    tiny = np.zeros_like(SECTOR)
    tiny[20:30, 20:30] = True
    assert picture_shift(frame, moved, tiny) == (0, 0)  # too small to compare


@pytest.mark.parametrize(("count", "period"), [(16, 20.0), (2, 20.0), (30, 1e9)])
def test_a_clip_without_a_second_beat_says_so(count: int, period: float) -> None:
    frames = beating(count, period, drift=0.3 if period > count * 10 else 0)
    beat, reason = find_beat(frames, np.arange(count) * 40.0, SECTOR)
    assert beat is None
    assert "no repeated beat" in reason


def test_a_rhythm_too_fast_for_a_heart_is_not_a_beat() -> None:
    beat, _ = find_beat(beating(20, period=6), np.arange(20) * 10.0, SECTOR)
    assert beat is None


def test_closure_is_the_mean_distance_of_the_points() -> None:
    positions = np.zeros((5, 2, 2), np.float32)
    positions[4] = [[3, 4], [0, 1]]
    assert point_closure(positions, BeatPair(0, 4, 1.0, (0, 0))) == pytest.approx(3.0)
    assert point_closure(positions, BeatPair(0, 3, 1.0, (0, 0))) == 0
    with pytest.raises(ArgumentError, match="P >= 1"):
        point_closure(positions[:, :0], BeatPair(0, 4, 1.0, (0, 0)))


def test_noise_has_no_beat() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (30, 60, 80), dtype=np.uint8)
    beat, reason = find_beat(noise, np.arange(30) * 40.0, SECTOR)
    assert beat is None
    assert "no repeated beat" in reason


@pytest.mark.parametrize("end", [5, -1])
def test_a_track_too_short_for_the_beat_is_refused(end: int) -> None:
    with pytest.raises(ArgumentError, match="frames 0 and"):
        point_closure(np.zeros((5, 2, 2)), BeatPair(0, end, 1.0, (0, 0)))


def test_lost_points_are_refused() -> None:
    positions = np.zeros((5, 2, 2))
    positions[4, 1] = np.nan
    with pytest.raises(ArgumentError, match="finite"):
        point_closure(positions, BeatPair(0, 4, 1.0, (0, 0)))
    assert point_closure(positions, BeatPair(0, 3, 1.0, (0, 0))) == 0  # lost after the beat


def test_a_sector_without_pixels_shows_no_shift() -> None:
    frame = beating(1, period=20)[0]
    with pytest.raises(ArgumentError, match="at least one pixel"):
        picture_shift(frame, frame, ~SECTOR)
