"""AHA segments and scores, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.aha import (
    NAMES,
    polar_split,
    segment_map,
    segment_means,
    segment_of_angle,
    wall_motion_score,
    wall_motion_score_index,
)

RING = np.hypot(*np.mgrid[-40:41, -40:41])
WALL = (RING > 20) & (RING < 35)


@pytest.mark.parametrize(
    ("angle", "level", "segment"),
    [
        (0, "basal", 1), (-30, "basal", 1), (29.9, "basal", 1), (30, "basal", 2), (180, "mid", 10),
        (-31, "mid", 12), (330, "mid", 7), (329.9, "mid", 12), (0, "apical", 13),
        (45, "apical", 14), (180, "apical", 15), (-45.1, "apical", 16), (720, "basal", 1),
    ],
)  # fmt: skip
def test_angles(angle: float, level: str, segment: int) -> None:
    assert segment_of_angle(np.array(angle), level) == segment  # type: ignore[arg-type]


def test_map_on_a_standard_short_axis() -> None:
    labels = segment_map(WALL, (40, 40), (40, 0), "mid")
    assert set(np.unique(labels)) == {0, 7, 8, 9, 10, 11, 12}
    assert NAMES[labels[13, 40] - 1] == "mid anterior"
    assert NAMES[labels[67, 40] - 1] == "mid inferior"
    assert NAMES[labels[27, 17] - 1] == "mid anteroseptal"  # upper left on the screen
    assert NAMES[labels[53, 63] - 1] == "mid inferolateral"
    mirrored = segment_map(WALL, (40, 40), (40, 0), "mid", septum="clockwise")
    assert NAMES[mirrored[27, 63] - 1] == "mid anteroseptal"
    counts = np.bincount(labels.ravel())[7:13]
    assert counts.max() / counts.min() < 1.05


def test_means_per_segment() -> None:
    labels = segment_map(WALL, (40, 40), (40, 0), "apical")
    means = segment_means(labels * 2.0, labels)
    np.testing.assert_allclose(means[12:16], [26, 28, 30, 32])
    assert np.isnan(means[:12]).all()
    assert np.isnan(means[16])


def test_polar_split_joins_the_seam() -> None:
    angle = np.arange(24) * 15.0 + 7.5
    parts = polar_split(np.tile(angle, (3, 1)), "basal")
    assert [p.shape for p in parts] == [(3, 4)] * 6
    np.testing.assert_allclose(parts[0][0], [337.5, 352.5, 7.5, 22.5])
    for number, part in enumerate(parts, start=1):
        assert (segment_of_angle(part, "basal") == number).all()
    with pytest.raises(ArgumentError, match="divides by 12"):
        polar_split(np.zeros((3, 25)), "mid")


def test_score_and_index() -> None:
    scores = wall_motion_score(np.array([18.0, 8.0, 1.0, -6.0, np.nan]))
    np.testing.assert_array_equal(scores, [1, 2, 3, 4, 0])
    assert wall_motion_score_index(scores) == pytest.approx(2.5)
    for bad in (np.zeros(3), np.array([1, 5])):
        with pytest.raises(ArgumentError):
            wall_motion_score_index(bad)


def test_bad_input_is_named() -> None:
    with pytest.raises(ArgumentError, match="empty"):
        segment_map(~WALL & WALL, (40, 40), (40, 0), "mid")
    with pytest.raises(ArgumentError, match="anterior"):
        segment_map(WALL, (40, 40), (40, 40), "mid")
    with pytest.raises(ArgumentError, match="level"):
        segment_of_angle(np.zeros(1), "septal")  # type: ignore[arg-type]
