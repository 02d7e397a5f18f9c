"""One call from displacements to segment strain, peaks, scores and GLS, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion import (
    FOUR_CHAMBER,
    ApicalContour,
    ScoreRule,
    SegmentedWall,
    measure_wall,
)
from cineflow.phantom import Beat, Region, ShortAxisPhantom, apical, ventricle

SIZE = (64, 64)
BEAT = Beat(frame_rate_hz=10.0, beats=0.7)


def scaled(size: tuple[int, ...], *factors: float) -> list[np.ndarray]:
    """Displacements that scale the picture about its middle, by each factor."""
    grid = np.indices(size, dtype=np.float64)[::-1]
    middle = (np.array(size[::-1]) - 1) / 2.0
    offset = grid - middle.reshape(-1, *[1] * len(size))
    return [(factor - 1.0) * offset for factor in factors]


def ring(size: tuple[int, int] = SIZE) -> np.ndarray:
    rows, columns = np.indices(size)
    radius = np.hypot(rows - (size[0] - 1) / 2, columns - (size[1] - 1) / 2)
    return np.asarray((radius > 12) & (radius < 20))


def short_axis(**change: Any) -> SegmentedWall:
    middle = ((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2)
    place = {"centre": middle, "anterior": (middle[0], 0.0), "level": "mid", **change}
    return SegmentedWall.short_axis(ring(), **place)


def half_ellipse(count: int = 41) -> np.ndarray:
    angle = np.linspace(-np.pi / 2, np.pi / 2, count)
    return np.stack([31.5 + 15 * np.sin(angle), 50 - 30 * np.cos(angle)], axis=1)


def test_even_shortening_is_measured_everywhere() -> None:
    found = measure_wall(scaled(SIZE, 1.0, 0.95, 0.8, 0.9), short_axis(spacing_mm=(0.5, 0.25)))
    mid = slice(6, 12)
    for name in ("radial", "circumferential"):
        np.testing.assert_allclose(
            found.strain[name][:, mid].T, [[0, -0.05, -0.2, -0.1]] * 6, atol=1e-9
        )
        np.testing.assert_allclose(found.peak[name][mid], -0.2)
    assert (found.es, found.scored, found.score_index) == (2, "circumferential", 1.0)
    assert found.scores.tolist() == [0] * 6 + [1] * 6 + [0] * 5
    assert np.isnan(found.peak["radial"][[0, 5, 12, 16]]).all()  # not in a mid slice
    assert found.global_strain == ()


def test_a_peak_keeps_its_sign() -> None:
    found = measure_wall(scaled(SIZE, 1.0, 0.95, 1.1), short_axis(), rule=ScoreRule())
    np.testing.assert_allclose(found.peak["circumferential"][6:12], 0.1)
    assert found.es == 1


def test_displacements_may_come_one_by_one() -> None:
    moved = scaled(SIZE, 1.0, 0.8, 0.9)
    assert measure_wall((u for u in moved), short_axis()).es == 1


def test_a_systole_that_is_not_over_is_refused() -> None:
    """Early in systole every segment would score normal relative to the best ones."""
    wall, moved = short_axis(), scaled(SIZE, 1.0, 0.98, 0.96)
    with pytest.raises(ArgumentError, match="pass `es`"):
        measure_wall(moved, wall)
    assert measure_wall(moved, wall, es=2).scores[6] == 1
    assert measure_wall(moved[2:], wall).es == 0  # a single displacement needs no search
    with pytest.raises(ArgumentError, match="pass `es`"):
        measure_wall(moved, ApicalContour(half_ellipse(), FOUR_CHAMBER))


def test_given_end_systole_and_convention() -> None:
    wall, moved = short_axis(), scaled(SIZE, 1.0, 0.9, 0.8)
    found = measure_wall(moved, wall, es=1, rule=ScoreRule(), convention="green_lagrange")
    np.testing.assert_allclose(found.strain["circumferential"][1, 6:12], (0.81 - 1) / 2)
    assert (found.es, found.scores[6]) == (1, 2)  # 9.5 % by Green: below the fixed 11 %


def test_short_axis_phantom_gives_its_truth() -> None:
    akinetic = Region(centre_deg=-90.0, width_deg=60.0, contraction=-0.2)  # the anterior wall
    heart = ShortAxisPhantom(1, beat=BEAT, regions=(akinetic,), rotation_deg=4.0)
    x, y = np.asarray(heart.kinematics.centre_mm) / heart.spacing_mm[0]
    wall = SegmentedWall.short_axis(heart.myocardium(0), (x, y), (x, y - 10), "mid")
    found = measure_wall([heart.displacement(k) for k in range(len(heart))], wall)
    assert found.es == heart.es
    labels = heart.segments(0)
    true = [np.nanmean(heart.strain(heart.es)[1][labels == k]) for k in range(7, 13)]
    np.testing.assert_allclose(found.strain["circumferential"][heart.es, 6:12], true, atol=0.004)
    assert found.scores[6:12].tolist() == [4, 1, 1, 1, 1, 1]
    assert found.score_index == pytest.approx(9 / 6)


def test_apical_contour_gives_the_truth_and_gls_is_the_mean() -> None:
    heart = apical(1, beat=BEAT)
    contour = heart.kinematics.contour(0.5)[::-1]  # the septum, on the left, comes first
    path = heart.track(contour)
    view = ApicalContour(path[0], FOUR_CHAMBER, spacing_mm=(0.5, 0.5))
    found = measure_wall([heart.displacement(k) for k in range(len(heart))], view)
    lengths = np.linalg.norm(np.diff(path, axis=1), axis=-1).sum(axis=1)
    gls = [one.strain for one in found.global_strain]
    np.testing.assert_allclose(gls, lengths / lengths[0] - 1, atol=1e-3)
    np.testing.assert_allclose(np.nanmean(found.strain["longitudinal"], axis=1), gls, atol=1e-5)
    assert (found.es, found.scored) == (heart.es, "longitudinal")
    assert (
        str(found.global_strain[found.es])
        == f"GLS {100 * gls[found.es]:+.1f} % (mid-wall line, lagrangian)"
    )
    assert set(np.flatnonzero(found.scores) + 1) == set(FOUR_CHAMBER)


def test_segments_of_a_contour_are_where_they_should_be() -> None:
    # Everything right of the middle moves up by a tenth of its height, so only that side shortens.
    moved = np.zeros((2, *SIZE))
    moved[1, :, 32:] = -0.1 * (np.arange(64)[:, None] - 20.0)
    found = measure_wall([moved], ApicalContour(half_ellipse(), FOUR_CHAMBER), rule=ScoreRule())
    strain = found.strain["longitudinal"][0]
    np.testing.assert_allclose(strain[[2, 8, 13]], 0.0, atol=1e-8)  # 3, 9, 14 at the left
    assert strain[5] < strain[11] < -0.05  # 6, basal, runs upright; 12 above it


def test_spacing_of_a_contour_counts() -> None:
    moved = np.zeros((2, *SIZE))
    moved[0] = -0.2 * (np.arange(64) - 31.5)  # narrower by a fifth
    contour, rule = half_ellipse(401), ScoreRule()
    flat, tall = (
        measure_wall([moved], ApicalContour(contour, FOUR_CHAMBER, spacing_mm=mm), rule=rule)
        for mm in ((0.1, 1.0), (1.0, 0.1))
    )
    assert flat.global_strain[0].strain < -0.15 < -0.02 < tall.global_strain[0].strain
    for found in (flat, tall):  # parts of equal length in mm: GLS is their mean
        mean = np.nanmean(found.strain["longitudinal"])
        assert mean == pytest.approx(found.global_strain[0].strain, abs=2e-4)


def test_volume_has_three_directions_and_no_fibre_around_the_cap() -> None:
    heart = ventricle(size=(32, 32, 32), contrast="mr", beat=BEAT)
    step = heart.spacing_mm[0]
    apex = np.array([16.0, 16.0, 21.0 / step])
    wall = SegmentedWall.volume(
        heart.myocardium(0),
        apex,
        apex + np.array([0.0, 0.0, 70.0 / step]),
        apex + np.array([0.0, -10.0, 0.0]),
        spacing_mm=heart.spacing_mm,
    )
    found = measure_wall(scaled(heart.size, 1.0, 0.9), wall, es=1)
    for name in ("radial", "circumferential", "longitudinal"):
        np.testing.assert_allclose(found.peak[name][:16], -0.1)
    assert np.isnan(found.peak["circumferential"][16])
    assert found.scores[16] == 0
    assert found.peak["longitudinal"][16] == pytest.approx(-0.1)


def test_bad_input_is_refused() -> None:
    wall, moved = short_axis(), scaled(SIZE, 1.0, 0.9, 1.0)
    for change, message in (
        ({"displacements": []}, "one or more displacements"),
        ({"es": 3}, "end-systole in 0..2"),
        ({"es": 1.5}, "end-systole in 0..2"),
        ({"wall": ring()}, "a SegmentedWall or an ApicalContour; got ndarray"),
        ({"displacements": [np.full((2, *SIZE), np.nan)]}, "finite"),
        ({"displacements": scaled((32, 32), 0.9)}, "directions"),
        ({"displacements": scaled(SIZE, 1.1, 1.2)}, "the best contracting by 1 % or more"),
        ({"convention": "engineering"}, "convention"),
    ):
        with pytest.raises(ArgumentError, match=message):
            measure_wall(**{"displacements": moved, "wall": wall, **change})
    with pytest.raises(ArgumentError, match="circumferential or a longitudinal"):
        SegmentedWall(wall.segments, {"radial": wall.directions["radial"]})
    with pytest.raises(ArgumentError, match="a mask of true"):
        SegmentedWall.short_axis(None, (31, 31), (31, 0), "mid")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="empty mask"):
        SegmentedWall.short_axis(np.zeros(SIZE, bool), (31, 31), (31, 0), "mid")


def test_directions_are_unit_vectors_of_the_wall_s_grid() -> None:
    """Vectors three times too long would give +200 % before anything has moved."""
    wall = short_axis()
    around = wall.directions["circumferential"]
    for vectors, message in (
        (3.0 * around, "length 1, or NaN"),
        (0.0 * around, "length 1, or NaN"),
        (around[:40], r"directions \[64, 64, 2\]"),
    ):
        with pytest.raises(ArgumentError, match=message):
            SegmentedWall(wall.segments, {"circumferential": vectors})
    outside = np.where(wall.segments[..., None] > 0, around, np.nan)
    found = SegmentedWall(wall.segments, {"circumferential": outside.astype(np.float32)})
    assert measure_wall(scaled(SIZE, 0.8), found).scores[6] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((2, 2))}, "3 or more"),
        ({"points": np.full((9, 2), np.nan)}, "finite"),
        ({"segments": (1, 2, 3)}, "six different"),
        ({"segments": (3.0, 9.0, 14.0, 16.0, 12.0, 6.0)}, "six different"),
        ({"spacing_mm": ("a", "b")}, "spacing"),
        ({"spacing_mm": (1.0, None)}, "spacing"),
        ({"segments": (17, 9, 14, 16, 12, 6)}, "six different"),
        ({"spacing_mm": (0.0, 1.0)}, "spacing"),
    ],
)
def test_bad_contours_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ApicalContour(**{"points": half_ellipse(), "segments": FOUR_CHAMBER, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.ones((9, 2))}, "length"),
        ({"points": half_ellipse() + 100.0}, "points in an image"),
        ({"line": "outer"}, "line"),
    ],
)
def test_contours_that_cannot_be_measured_are_refused(change: dict[str, Any], message: str) -> None:
    view = ApicalContour(**{"points": half_ellipse(), "segments": FOUR_CHAMBER, **change})
    with pytest.raises(ArgumentError, match=message):
        measure_wall(scaled(SIZE, 0.9), view)
