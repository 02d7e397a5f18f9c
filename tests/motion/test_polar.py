"""The 16-segment layout of Xue et al.: every column is in the segment of its angle."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.aha import segment_of_angle
from cineflow.motion.polar import patient_sequence, polar_split, segment_sequences
from cineflow.ops import PolarGrid, polar_resample


def angles(count: int) -> np.ndarray:
    """A polar slice [3, a, 2] with the cosine and sine of each column's angle; a is `count`."""
    angle = np.arange(count) * 2 * np.pi / count
    return np.tile(np.stack([np.cos(angle), np.sin(angle)], axis=-1), (3, 1, 1))


def degrees(part: np.ndarray) -> np.ndarray:
    return np.rad2deg(np.arctan2(part[..., 1], part[..., 0]))


@pytest.mark.parametrize(("level", "count"), [("basal", 6), ("mid", 6), ("apical", 4)])
def test_split_joins_the_seam(level: str, count: int) -> None:
    parts = polar_split(angles(48), level)  # type: ignore[arg-type]
    assert [part.shape for part in parts] == [(3, 48 // count, 2)] * count
    first = {"basal": 1, "mid": 7, "apical": 13}[level]
    for number, part in enumerate(parts, start=first):
        # rounded, so that 1e-14 degrees do not put a boundary column on the wrong side
        found = segment_of_angle(np.round(degrees(part), 6), level)  # type: ignore[arg-type]
        assert (found == number).all()
    np.testing.assert_allclose(degrees(parts[0])[0, 0], -180.0 / count)


def test_sixteen_segments_are_equally_wide() -> None:
    parts = segment_sequences(angles(48), angles(48), angles(48))
    assert [part.shape for part in parts] == [(3, 8, 2)] * 16
    levels = ["basal"] * 6 + ["mid"] * 6 + ["apical"] * 4
    for number, (part, level) in enumerate(zip(parts, levels, strict=True), start=1):
        found = segment_of_angle(np.round(degrees(part), 6), level)  # type: ignore[arg-type]
        assert (found == number).all()
    # The apical slice was resampled: 8 columns over 90 degrees, the same radii.
    np.testing.assert_allclose(degrees(parts[12])[0], -45.0 + np.arange(8) * 90.0 / 8, atol=0.2)


def test_apical_resampling_is_linear_around_the_circle() -> None:
    still = np.zeros((1, 12))
    apical = np.arange(12.0)[None] ** 2
    found = np.concatenate(segment_sequences(still, still, apical)[12:], axis=1)[0]
    # 8 columns at 0, 1.5, 3 ... of 12, rolled by one so that segment 13 straddles the seam
    expected = [(100 + 121) / 2, 0.0, (1 + 4) / 2, 9.0, (16 + 25) / 2, 36.0, (49 + 64) / 2, 81.0]
    np.testing.assert_allclose(found, expected)


def test_patient_sequence_is_undone_by_a_split() -> None:
    rng = np.random.default_rng(0)
    parts = segment_sequences(*rng.random((3, 5, 24, 7)))
    whole = patient_sequence(parts)
    assert whole.shape == (5, 64, 7)
    for back, part in zip(np.split(whole, 16, axis=1), parts, strict=True):
        np.testing.assert_array_equal(back, part)


def test_our_polar_images_fit_once_turned() -> None:
    """From the anterior wall (up) counterclockwise: first_angle -90 degrees, sweep -360."""
    rows, columns = np.mgrid[:81, :81].astype(np.float32)
    labels = np.degrees(np.arctan2(-(columns - 40.0), -(rows - 40.0))) % 360.0  # AHA angle
    grid = PolarGrid(
        angles=24,
        radii=5,
        first_radius=20.0,
        last_radius=30.0,
        first_angle=-np.pi / 2,
        sweep=-2 * np.pi,
    )
    image = polar_resample(np.ascontiguousarray(labels[None, None]), (40.0, 40.0), grid)[0, 0]
    assert image.shape == (24, 5)
    parts = polar_split(image.T, "mid")
    for number, part in enumerate(parts[1:], start=8):  # the first holds the jump 360 -> 0
        middle = (number - 7) * 60.0
        assert np.abs(part.mean() - (middle - 7.5)) < 2.0


@pytest.mark.parametrize("level", ["basal", "apical"])
def test_slices_that_do_not_divide_are_refused(level: str) -> None:
    with pytest.raises(ArgumentError, match="divisible by"):
        polar_split(np.zeros((3, 25)), level)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="divisible by"):
        polar_split(np.zeros(24), level)  # type: ignore[arg-type]


def test_other_levels_shapes_and_counts_are_refused() -> None:
    with pytest.raises(ArgumentError, match="level"):
        polar_split(np.zeros((3, 24)), "septal")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="one shape"):
        segment_sequences(np.zeros((3, 24)), np.zeros((3, 24)), np.zeros((3, 36)))
    with pytest.raises(ArgumentError, match="16 segments"):
        patient_sequence((np.zeros((3, 4)),) * 15)
