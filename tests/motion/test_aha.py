"""AHA segments and scores against values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.aha import (
    NAMES,
    ScoreRule,
    segment_map,
    segment_means,
    segment_of_angle,
    segment_volume,
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


@pytest.mark.parametrize("spacing", [None, (3.0, 0.5, 2.0)])
def test_volume_by_hand(spacing: tuple[float, float, float] | None) -> None:
    """A short-axis stack, apex first: z runs from apex to base, anterior is up (-y)."""
    wall = np.zeros((12, 41, 41), bool)
    wall[:] = (np.hypot(*np.mgrid[-20:21, -20:21]) > 8) & (np.hypot(*np.mgrid[-20:21, -20:21]) < 15)
    labels = segment_volume(wall, (20, 20, 2), (20, 20, 8), (20, 5, 5), spacing_mm=spacing)
    assert not labels[~wall].any()
    assert set(np.unique(labels[:2])) == {0, 17}  # beyond the cavity's end
    assert set(np.unique(labels[2:4])) == {0, 13, 14, 15, 16}  # heights 0, 1/6
    assert set(np.unique(labels[4:6])) == {0, *range(7, 13)}  # 1/3, 1/2
    assert set(np.unique(labels[6:9])) == {0, *range(1, 7)}  # 2/3 .. 1
    assert not labels[9:].any()  # beyond the base
    at = {"anterior": (8, 20), "inferior": (32, 20), "septal": (20, 8), "lateral": (20, 32)}
    assert [labels[2][at[w]] for w in ("anterior", "septal", "inferior", "lateral")] == [
        13, 14, 15, 16,
    ]  # fmt: skip
    assert labels[4][at["anterior"]] == 7
    assert labels[7][at["inferior"]] == 4
    if spacing is None:
        flat = segment_map(wall[4], (20, 20), (20, 5), "mid")
        np.testing.assert_array_equal(labels[4], flat)
        assert labels[4][14, 10] == 8  # anteroseptal: up and left
        mirror = segment_volume(wall, (20, 20, 2), (20, 20, 8), (20, 5, 5), septum="clockwise")
        np.testing.assert_array_equal(mirror[4][:, ::-1][14, 10], 8)


def test_volume_angles_are_measured_in_mm_not_in_voxels() -> None:
    """With rows four times as tall as columns, 45 degrees on the grid is 76 in the heart."""
    wall = np.zeros((3, 41, 41), bool)
    wall[1, 16, 24] = True  # 4 right, 4 up of the axis
    place = ((20, 20, 0), (20, 20, 2), (24, 20, 1))  # anterior towards +x
    assert segment_volume(wall, *place, septum="counterclockwise")[1, 16, 24] == 8  # 45 of mid
    squeezed = segment_volume(wall, *place, spacing_mm=(1.0, 0.25, 1.0))
    assert squeezed[1, 16, 24] == 7  # 14 degrees
    stretched = segment_volume(wall, *place, spacing_mm=(1.0, 10.0, 1.0))
    assert stretched[1, 16, 24] == 8  # 84 degrees


def test_an_oblique_axis_keeps_the_segments() -> None:
    rng = np.random.default_rng(0)
    axis = np.array([0.3, 0.5, 0.8])
    axis /= np.linalg.norm(axis)
    anterior = np.cross(axis, [1.0, 0.0, 0.0])
    anterior /= np.linalg.norm(anterior)
    septal = np.cross(anterior, axis)
    apex, length = np.array([10.0, 12.0, 14.0]), 20.0
    wall = rng.random((40, 40, 40)) > 0.97
    found = segment_volume(wall, apex, apex + length * axis, apex + 3.0 * anterior + 2.0 * axis)
    for z, y, x in np.argwhere(wall)[::37]:
        q = np.array([x, y, z]) - apex
        height = q @ axis / length
        angle = np.array(np.degrees(np.arctan2(q @ septal, q @ anterior)))
        level = "basal" if height >= 2 / 3 else "mid" if height >= 1 / 3 else "apical"
        expected = int(segment_of_angle(angle, level))  # type: ignore[arg-type]
        expected = 0 if height > 1 else 17 if height < 0 else expected
        assert found[z, y, x] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wall": np.zeros((3, 9, 9), bool)}, "empty"),
        ({"wall": np.ones((9, 9), bool)}, r"\[D, H, W\]"),
        ({"base": (4, 4, 0)}, "base away"),
        ({"base": (4, 4, np.nan)}, "base: a finite point"),
        ({"apex": (4, 4)}, r"apex: a finite point \(x, y, z\)"),
        ({"apex": (500, 4, 1)}, "apex: a point inside the image of 3x9x9 px"),
        ({"base": (4, 4, 2.6)}, "base: a point inside"),
        ({"anterior": (4, 4, 7)}, "away from the axis"),
        ({"anterior": (np.nan, 4, 7)}, "anterior: a finite point"),
        ({"spacing_mm": (1.0, 1.0)}, "slice_mm"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "slice_mm"),
    ],
)
def test_invalid_volumes_are_refused(change: dict[str, Any], message: str) -> None:
    place: dict[str, Any] = {
        "wall": np.ones((3, 9, 9), bool),
        "apex": (4, 4, 0),
        "base": (4, 4, 2),
        "anterior": (4, 0, 0),
    }
    with pytest.raises(ArgumentError, match=message):
        segment_volume(**{**place, **change})


def test_means_are_weighted_by_pixels_and_refuse_other_shapes() -> None:
    labels = np.array([[1, 1, 2], [0, 1, 17]])
    means = segment_means(np.array([[1.0, 2.0, 5.0], [99.0, 6.0, -3.0]]), labels)
    assert (means[0], means[1], means[16]) == (3.0, 5.0, -3.0)
    values = np.array([[1.0, np.nan, np.nan], [99.0, 6.0, -3.0]])
    means = segment_means(values, labels)  # a missing value does not count
    assert (means[0], means[16]) == (3.5, -3.0)
    assert np.isnan(means[1])
    with pytest.raises(ArgumentError, match="infinite"):
        segment_means(np.where(np.isnan(values), np.inf, values), labels)
    with pytest.raises(ArgumentError, match="values"):
        segment_means(np.zeros((2, 2)), labels)
    with pytest.raises(ArgumentError, match="empty"):
        segment_means(np.zeros((2, 3)), 0 * labels)


@pytest.mark.parametrize(
    ("contraction", "score"),
    [(0.11, 1), (0.10999, 2), (0.035, 2), (0.03499, 3), (-0.015, 3), (-0.01501, 4), (np.nan, 0)],
)
def test_score_at_its_thresholds(contraction: float, score: int) -> None:
    assert wall_motion_score(np.array(contraction)) == score


def test_thresholds_can_change_but_must_be_in_order() -> None:
    rule = ScoreRule(hypokinetic=0.2, akinetic=0.1, dyskinetic=0.0)
    np.testing.assert_array_equal(wall_motion_score(np.array([0.15, 0.05]), rule), [2, 3])
    with pytest.raises(ArgumentError, match="hypokinetic"):
        ScoreRule(hypokinetic=0.03)


def test_percent_is_refused_where_fractions_are_wanted() -> None:
    for call in (
        lambda: wall_motion_score(np.array([18.0, np.nan])),
        lambda: ScoreRule.relative_to(np.array([18.0, 15.0])),
        lambda: ScoreRule(hypokinetic=11.0, akinetic=3.5, dyskinetic=-1.5),
    ):
        with pytest.raises(ArgumentError, match="Divide percent by 100"):
            call()
    assert wall_motion_score(np.full(2, np.nan)).tolist() == [0, 0]
    assert wall_motion_score(np.array([1.0, -2.0])).tolist() == [1, 4]


def test_score_and_index() -> None:
    scores = wall_motion_score(np.array([0.18, 0.08, 0.01, -0.06, np.nan]))
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
    with pytest.raises(ArgumentError, match="centre: a finite point"):
        segment_map(WALL, (40, 40, 4), (40, 0), "mid")  # type: ignore[arg-type]
    for centre in ((2400, 40), (40, -0.6), (81, 40)):
        with pytest.raises(ArgumentError, match="centre: a point inside the image of 81x81 px"):
            segment_map(WALL, centre, (40, 0), "mid")
    assert segment_map(WALL, (80.5, 40), (40, -900), "mid").any()  # a direction may lie outside
    with pytest.raises(ArgumentError, match="segment_volume"):
        segment_map(np.ones((3, 9, 9), bool), (4, 4), (4, 0), "mid")
    with pytest.raises(ArgumentError, match="level"):
        segment_of_angle(np.zeros(1), "septal")  # type: ignore[arg-type]


def test_labels_outside_0_to_17_are_refused() -> None:
    for labels in (np.array([1, 18]), np.array([-1, 3]), np.array([1.0, 2.0])):
        with pytest.raises(ArgumentError, match="0 to 17"):
            segment_means(np.zeros(2), labels)


def test_an_unknown_sense_is_refused() -> None:
    with pytest.raises(ArgumentError, match="counterclockwise") as caught:
        segment_map(WALL, (40, 40), (40, 0), "mid", septum="left")  # type: ignore[arg-type]
    assert caught.value.got == "'left'"
    place = ((4, 4, 0), (4, 4, 2), (4, 0, 0))
    with pytest.raises(ArgumentError, match="counterclockwise"):
        segment_volume(np.ones((3, 9, 9), bool), *place, septum="left")  # type: ignore[arg-type]


def test_infinite_strain_has_no_score() -> None:
    with pytest.raises(ArgumentError, match="infinite"):
        wall_motion_score(np.array([np.inf, -np.inf]))
    assert wall_motion_score(np.array([np.nan, 0.2])).tolist() == [0, 1]
