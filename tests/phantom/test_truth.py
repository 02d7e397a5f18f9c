"""The ground truth of every phantom, against closed forms and `cineflow.motion`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.aha import segment_map, segment_volume
from cineflow.motion.strain import from_stretch, line_strain
from cineflow.phantom import (
    Beat,
    Phantom,
    Region,
    ShortAxisPhantom,
    apical,
    parasternal_long_axis,
    ventricle,
)
from cineflow.phantom.io import KINDS

FIVE = Beat(frame_rate_hz=5.0)
SHORT = ShortAxisPhantom(0, size=(96, 96), beat=Beat(frame_rate_hz=25.0), rotation_deg=0.0)
SMALL = {"size": (32, 32, 32), "beat": Beat(frame_rate_hz=25.0)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_all_its_truth(kind: str) -> None:
    phantom: Phantom = KINDS[kind](1, beat=FIVE)
    dimensions = len(phantom.size)
    wall = phantom.myocardium(0)
    assert phantom.flow(0, 2).shape == (dimensions, *phantom.size)
    strain = phantom.strain(phantom.es)
    names = phantom.kinematics.direction_names
    assert strain.shape == (len(names), *phantom.size)
    np.testing.assert_array_equal(np.isnan(strain[0]), ~wall)
    assert phantom.directions().shape == (len(names), *phantom.size, dimensions)
    for name, field in zip(names, strain, strict=True):
        mean = np.nanmean(field)
        assert mean > 0.2 if name == "radial" else mean < -0.1
    assert phantom.key_points.shape == (5, len(phantom.key_point_names), dimensions)
    assert not (wall & phantom.cavity(0)).any()
    assert not (phantom.segments()[~wall]).any()
    assert (phantom.ed, phantom.es) == (0, 2)


@pytest.mark.parametrize("view", [apical, parasternal_long_axis, ventricle])
def test_the_wall_never_shortens_by_half(view: Callable[..., Phantom]) -> None:
    """An undefined direction on the axis of the cap must not give a strain of -100 %."""
    phantom = view(1, beat=FIVE)
    assert np.nanmin(phantom.strain(phantom.es)) > -0.5
    still = phantom.strain(phantom.ed)
    np.testing.assert_allclose(still[np.isfinite(still)], 0.0, atol=1e-6)


@pytest.mark.parametrize("convention", ["lagrangian", "green_lagrange", "natural"])
def test_ring_strain_is_its_closed_form(convention: str) -> None:
    heart, es = SHORT.kinematics, SHORT.es
    assert SHORT.beat.activation(es) == pytest.approx(1.0, abs=1e-9)
    q = SHORT.scanner.pixels_mm - heart.centre_mm
    before = np.hypot(q[..., 0], q[..., 1])
    inner = heart.endo_mm * heart.endo_ratio
    with np.errstate(invalid="ignore"):
        after = np.sqrt(inner**2 + (before**2 - heart.endo_mm**2) / heart.longitudinal)
    radial, around = SHORT.strain(es, convention)  # type: ignore[arg-type]
    wall = SHORT.myocardium(0)
    expected = from_stretch(after / before, convention)[wall]  # type: ignore[arg-type]
    np.testing.assert_allclose(around[wall], expected, atol=1e-6)
    stretch = (before / (after * heart.longitudinal))[wall]
    expected = from_stretch(stretch, convention)  # type: ignore[arg-type]
    np.testing.assert_allclose(radial[wall], expected, atol=1e-5)


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ArgumentError, match="convention"):
        SHORT.strain(1, "engineering")  # type: ignore[arg-type]


def test_segments_of_a_ring_agree_with_motion() -> None:
    for level, height in (("basal", 0.8), ("mid", 0.5), ("apical", 0.2)):
        phantom = ShortAxisPhantom(0, size=(96, 96), beat=FIVE, height=height)
        x, y = np.asarray(phantom.kinematics.centre_mm) / phantom.spacing_mm[0]
        found = segment_map(phantom.myocardium(0), (x, y), (x, y - 5.0), level)  # type: ignore[arg-type]
        np.testing.assert_array_equal(phantom.segments(), found)


@pytest.mark.parametrize("contrast", ["ultrasound", "mr"])
def test_segments_of_a_volume_agree_with_motion(contrast: str) -> None:
    phantom = ventricle(contrast=contrast, **SMALL)  # type: ignore[arg-type]
    heart, step = phantom.kinematics, phantom.spacing_mm[0]
    axis, anterior, _ = heart._axes
    apex = (np.asarray(heart.apex_mm) + heart.wall_mm * axis) / step
    base = apex + heart.length_mm * axis / step
    found = segment_volume(phantom.myocardium(0), apex, base, apex + anterior)
    np.testing.assert_array_equal(phantom.segments(), found)
    assert set(np.unique(found)) == set(range(18))


def test_segments_move_with_the_tissue() -> None:
    phantom = ShortAxisPhantom(0, size=(96, 96), beat=FIVE, rotation_deg=30.0, epi_rotation=1.0)
    centre = np.asarray(phantom.kinematics.centre_mm) + phantom.kinematics.translation_mm
    x, y = centre / phantom.spacing_mm[0]
    turned = (x + 5.0 * np.sin(np.deg2rad(30.0)), y - 5.0 * np.cos(np.deg2rad(30.0)))
    share = phantom.beat.activation(phantom.es)
    assert share > 0.99
    there = segment_map(phantom.myocardium(phantom.es), (x, y), turned, "mid")
    assert np.mean(there[there > 0] == phantom.segments(phantom.es)[there > 0]) > 0.97


def test_long_axis_sections_show_the_walls_of_their_view() -> None:
    views = (
        (parasternal_long_axis, {2, 5, 8, 11, 14, 16, 17}),
        (apical, {3, 6, 9, 12, 14, 16, 17}),
    )
    for view, expected in views:
        phantom = view(0, beat=FIVE)
        assert set(np.unique(phantom.segments())) - {0} == expected
    four_chamber = apical(0, beat=FIVE).segments()
    assert set(np.unique(four_chamber[:, :100])) & {3, 6, 9, 12} == {3, 9}  # the septum is left


def test_the_long_axis_of_the_volume_is_the_four_chamber_view() -> None:
    labels = ventricle(**SMALL).segments()[16]
    assert {3, 9, 14} <= set(np.unique(labels[:, :16]))
    assert {6, 12, 16} <= set(np.unique(labels[:, 17:]))


def test_contour_lies_in_the_wall_and_shortens() -> None:
    phantom = apical(0, beat=Beat(frame_rate_hz=25.0))
    heart = phantom.kinematics
    for depth, ends in ((0.0, heart.endo_mm), (0.5, heart.endo_mm + 0.5 * heart.wall_mm)):
        line = heart.contour(depth)
        assert np.linalg.norm(line[0] - line[-1]) == pytest.approx(2 * ends)
        around = line[1:-1]
        if depth > 0:
            assert (heart.tissue(around) == 1).all()
        tracked = phantom.track(line)
        gls = line_strain(tracked[0], tracked[phantom.es])
        assert -0.25 < gls < -0.10
    with pytest.raises(ArgumentError, match="depth"):
        heart.contour(1.2)


def test_key_points_are_in_their_segments() -> None:
    phantom = ShortAxisPhantom(0, size=(96, 96), beat=FIVE)
    points = dict(zip(phantom.key_point_names, phantom.key_points[0], strict=True))
    inner, outer = points["anterior endocardium"], points["anterior epicardium"]
    assert inner[0] == pytest.approx(outer[0])
    assert outer[1] < inner[1]
    assert points["anteroseptal epicardium"][0] < inner[0] < points["anterolateral epicardium"][0]
    labels = phantom.segments()
    x, y = np.rint((inner + outer) / 2).astype(int)
    assert labels[y, x] == 7
    volume = ventricle(**SMALL)
    assert volume.key_point_names == tuple(f"segment {k}" for k in [*range(1, 18)])
    shown = volume.segments()
    for name, point in zip(volume.key_point_names, volume.key_points[0], strict=True):
        x, y, z = np.rint(point).astype(int)
        assert shown[z, y, x] == int(name.split()[1])


@pytest.mark.parametrize("kind", KINDS)
def test_regions_weaken_the_strain_inside_them_only(kind: str) -> None:
    # an akinetic septum in every view: the ring counts from +x, the others from anterior
    centre = 180.0 if kind == "short-axis" else 90.0
    region = Region(centre, 100.0, 0.0)
    beat = Beat(frame_rate_hz=25.0, beats=0.4)
    healthy, ill = KINDS[kind](0, beat=beat), KINDS[kind](0, beat=beat, regions=(region,))
    septal = np.isin(healthy.segments(), [2, 3, 8, 9])
    far = np.isin(healthy.segments(), [5, 6, 11, 12])
    before, after = healthy.strain(9)[0], ill.strain(9)[0]
    assert np.abs(after[septal]).mean() < 0.6 * np.abs(before[septal]).mean()
    np.testing.assert_allclose(after[far], before[far], atol=0.02)


def test_several_beats_repeat_in_every_kind() -> None:
    phantom = ventricle(size=(24, 24, 24), beat=Beat(frame_rate_hz=5.0, beats=2.0))
    np.testing.assert_allclose(phantom.displacement(7), phantom.displacement(2), atol=1e-5)
    assert phantom.beat.end_diastoles == (0, 5)
    assert len(phantom.key_points) == 10
