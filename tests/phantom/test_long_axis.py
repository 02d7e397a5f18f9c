"""The long-axis phantoms: exact inverse, preserved volume, and the four key points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.ventricle import dimensions
from cineflow.phantom import (
    Beat,
    LongAxis,
    LongAxisPhantom,
    apical,
    deformation_gradient,
    parasternal_long_axis,
)

HEART = LongAxis(apex_mm=(12.0, 70.0), axis_deg=20.0)
SHORT = Beat(frame_rate_hz=5.0, beats=0.4)


@pytest.mark.parametrize("activation", [0.0, 0.5, 1.0])
def test_material_undoes_position(activation: float) -> None:
    points = np.random.default_rng(0).random((500, 2)) * 120.0
    there = HEART.position(points, activation)
    np.testing.assert_allclose(HEART.material(there, activation), points, atol=1e-6)


def test_the_solid_of_revolution_keeps_its_volume() -> None:
    wall = np.concatenate(
        [HEART.chord(h)[[0, 3]] * 0.5 + HEART.chord(h)[[1, 2]] * 0.5 for h in (0.3, 0.6, 0.9)]
    )
    axis = np.array([np.cos(np.deg2rad(20.0)), np.sin(np.deg2rad(20.0))])
    side = np.array([-axis[1], axis[0]])
    across = lambda p: np.abs((p - HEART.apex_mm) @ side)  # noqa: E731
    hoop = across(HEART.position(wall, 1.0)) / across(wall)
    area = np.linalg.det(deformation_gradient(HEART, wall, 1.0))
    np.testing.assert_allclose(area * hoop, 1.0, atol=1e-6)


def test_directions_are_unit_and_square() -> None:
    wall = HEART.chord(0.5)
    found = HEART.directions(wall)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0)
    np.testing.assert_allclose((found[:, 0] * found[:, 1]).sum(-1), 0.0, atol=1e-12)
    # on both sides the directions point outwards and towards the base
    assert ((wall[3] - wall[0]) * found[3, 0]).sum() > 0 > ((wall[3] - wall[0]) * found[0, 0]).sum()
    axis = np.array([np.cos(np.deg2rad(20.0)), np.sin(np.deg2rad(20.0))])
    assert (found[:, 1] @ axis > 0.5).all()


def test_on_the_axis_of_the_cap_the_wall_runs_across() -> None:
    heart = LongAxis(apex_mm=(12.0, 70.0), axis_deg=0.0)
    radial, along = heart.directions(np.array([17.0, 70.0]))
    np.testing.assert_allclose(radial, [-1.0, 0.0])
    np.testing.assert_allclose(np.abs(along), [0.0, 1.0])
    assert np.isnan(heart.directions(np.array([120.0, 70.0]))).all()  # on the axis of the tube


def test_four_points_give_the_true_dimensions() -> None:
    phantom = parasternal_long_axis(beat=Beat())
    true = dimensions(phantom.key_points, phantom.spacing_mm, phantom.size)
    assert true.lvid[phantom.es] / true.lvid[0] == pytest.approx(phantom.kinematics.endo_ratio)
    assert true.ivs[phantom.es] > 1.2 * true.ivs[0]
    np.testing.assert_allclose(true.ivs, true.lvpw)
    spread = phantom.key_points[..., 0].max(axis=1) - phantom.key_points[..., 0].min(axis=1)
    np.testing.assert_allclose(spread, 0.0, atol=1e-9)  # the four points stay on one line


@pytest.mark.parametrize("view", [parasternal_long_axis, apical])
def test_the_wall_shows(view: Callable[..., LongAxisPhantom]) -> None:
    phantom = view(1, beat=SHORT)
    wall, blood = phantom.myocardium(0), (phantom.tissue_map(0) == 2) & phantom.sector
    assert phantom.frames[0][wall].mean() > phantom.frames[0][blood].mean() + 60
    assert 0.05 < wall.mean() < 0.4
    assert 0.05 < blood.mean() < 0.4


def test_a_wall_beyond_the_far_field_is_refused() -> None:
    with pytest.raises(ArgumentError, match="far_mm"):
        LongAxis((0, 0), 0.0, far_mm=30.0)


@pytest.mark.parametrize("view", [parasternal_long_axis, apical])
def test_tissue_follows_into_the_picture_at_end_systole(
    view: Callable[..., LongAxisPhantom],
) -> None:
    phantom = view(1, beat=Beat(frame_rate_hz=1 / 0.36, beats=0.75))  # end-systole is frame 1
    assert phantom.es == 1
    last = phantom.frames[phantom.es]
    outside = (phantom.tissue_map(phantom.es) == 0) & phantom.sector
    edge = np.zeros_like(outside)
    edge[-24:], edge[:, -24:] = True, True
    assert last[outside & edge].mean() > 0.9 * last[outside & ~edge].mean()
