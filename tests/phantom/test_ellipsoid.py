"""The whole ventricle: exact inverse, preserved volume with torsion and regions, closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.phantom import Beat, Ellipsoid, LongAxis, Region, deformation_gradient, ventricle

HEART = Ellipsoid(apex_mm=(50.0, 12.0, 48.0), axis=(0.1, 1.0, -0.2), anterior=(0.5, 0.0, 0.8))
TERRITORY = Region(60.0, 80.0, -0.3, heights=(0.3, 1.2))
REGIONAL = replace(HEART, regions=(TERRITORY, Region(200.0, 70.0, 0.5)))
BOTH = pytest.mark.parametrize("heart", [HEART, REGIONAL], ids=["normal", "regional"])


def wall_points(heart: Ellipsoid, count: int = 3000) -> np.ndarray:
    """Random material points in the wall of cavity and cap, f64 [N, 3] mm."""
    rng = np.random.default_rng(0)
    points = np.asarray(heart.apex_mm) + (rng.random((40 * count, 3)) - 0.5) * 200.0
    inside = (heart.tissue(points) == 1) & (heart.segment(points) > 0)
    return points[inside][:count]


@BOTH
@pytest.mark.parametrize("activation", [0.0, 0.4, 1.0])
def test_material_undoes_position(heart: Ellipsoid, activation: float) -> None:
    points = np.random.default_rng(1).random((2000, 3)) * 110.0
    there = heart.position(points, activation)
    np.testing.assert_allclose(heart.material(there, activation), points, atol=1e-6)


@BOTH
@pytest.mark.parametrize("activation", [0.3, 1.0])
def test_the_wall_is_incompressible(heart: Ellipsoid, activation: float) -> None:
    points = wall_points(heart)
    assert set(np.unique(heart.segment(points))) == set(range(1, 18))
    volume = np.linalg.det(deformation_gradient(heart, points, activation))
    np.testing.assert_allclose(volume, 1.0, atol=1e-6)


def test_the_cap_is_incompressible_on_the_axis_itself() -> None:
    axis = np.asarray(HEART.axis) / np.linalg.norm(HEART.axis)
    points = np.asarray(HEART.apex_mm) + np.array([[2.0], [5.0], [8.5]]) * axis
    volume = np.linalg.det(deformation_gradient(HEART, points, 1.0))
    np.testing.assert_allclose(volume, 1.0, atol=1e-6)


def test_the_wall_keeps_its_number_of_voxels() -> None:
    phantom = ventricle(size=(48, 48, 48), beat=Beat(frame_rate_hz=5.0), wall_mm=12.0)
    heart = phantom.kinematics
    y = phantom.scanner.pixels_mm[0, :, 0, 1]
    counts = []
    for frame in (0, phantom.es):
        height = (heart.wall_mm + heart.length_mm) * heart.stretch(phantom.beat.activation(frame))
        wall = phantom.tissue_map(frame) == 1  # also outside the sector
        counts.append(np.count_nonzero(wall[:, y < heart.apex_mm[1] + height]))
    assert counts[0] > 10_000
    assert counts[1] == pytest.approx(counts[0], rel=0.03)


def test_closed_forms_at_the_base_without_torsion() -> None:
    heart = replace(HEART, apex_rotation_deg=0.0, base_rotation_deg=0.0)
    points = np.stack([heart.wall_point(77.0, 1.0, depth) for depth in (0.1, 0.7)])
    gradient = deformation_gradient(heart, points, 1.0)
    stretch = np.linalg.norm(np.einsum("nij,nkj->nki", gradient, heart.directions(points)), axis=-1)
    radius = heart.endo_mm + np.array([0.1, 0.7]) * heart.wall_mm
    inner = heart.endo_ratio * heart.endo_mm
    moved = np.sqrt(inner**2 + (radius**2 - heart.endo_mm**2) / heart.longitudinal)
    # radial: dq'/dq = q / (q' l); around: q' / q; along: l
    along = np.full(2, heart.longitudinal)
    expected = np.stack([radius / moved / heart.longitudinal, moved / radius, along], axis=1)
    np.testing.assert_allclose(stretch, expected, atol=2e-6)


def test_torsion_turns_apex_and_base_in_opposite_directions() -> None:
    assert HEART.apex_rotation_deg > 0 > HEART.base_rotation_deg
    cases = ((0.0, 0.0, 8.0), (1.0, 0.0, -4.0), (1.0, 1.0, -4.0 * 0.65), (0.5, 0.0, 2.0))
    for height, depth, turn in cases:
        point = HEART.wall_point(20.0, height, depth)
        _, u, v = HEART._cylinder(HEART.position(point, 1.0))
        assert np.rad2deg(np.arctan2(v, u)) == pytest.approx(20.0 + turn, abs=1e-6)


def test_septum_is_counterclockwise_from_anterior_seen_from_the_apex() -> None:
    stack = ventricle(contrast="mr", size=(16, 16, 16)).kinematics
    x, y, _ = stack.wall_point(90.0, 0.5, 0.5) - stack.apex_mm
    assert x < -20.0
    assert abs(y) < 1e-9
    _, y, _ = stack.wall_point(0.0, 0.5, 0.5) - stack.apex_mm
    assert y < -20.0


def test_an_untwisted_section_is_the_long_axis_phantom() -> None:
    shape = {"length_mm": 66.0, "endo_ratio": 0.68}
    solid = Ellipsoid(
        apex_mm=(10.0, 20.0, 30.0),
        axis=(1.0, 0.0, 0.0),
        anterior=(0.0, 1.0, 0.0),
        apex_rotation_deg=0.0,
        base_rotation_deg=0.0,
        **shape,
    )
    plane = LongAxis(apex_mm=(10.0, 20.0), axis_deg=0.0, **shape)
    points = np.random.default_rng(2).random((500, 2)) * 80.0
    volume = np.concatenate([points, np.full((500, 1), 30.0)], axis=1)
    moved = solid.position(volume, 0.8)
    np.testing.assert_allclose(moved[:, :2], plane.position(points, 0.8), atol=1e-9)
    np.testing.assert_allclose(moved[:, 2], 30.0, atol=1e-9)
    np.testing.assert_array_equal(solid.tissue(volume), plane.tissue(points))


def test_directions_are_an_orthonormal_frame_of_the_wall() -> None:
    points = wall_points(HEART, 200)
    frame = HEART.directions(points)
    unit = np.einsum("nki,nji->nkj", frame, frame)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-12)
    axis = np.asarray(HEART.axis) / np.linalg.norm(HEART.axis)
    np.testing.assert_allclose(frame[:, 1] @ axis, 0.0, atol=1e-12)
    upper = HEART.segment(points) < 13  # in the cap the wall lies across the axis
    assert (frame[upper, 2] @ axis > 0.5).all()


def test_on_the_axis_of_the_cap_only_the_outward_direction_exists() -> None:
    straight = replace(HEART, axis=(0.0, 0.0, 2.0), anterior=(0.0, -1.0, 0.0))
    frame = straight.directions(straight.apex_mm + np.array([0.0, 0.0, 5.0]))
    np.testing.assert_allclose(frame[0], [0.0, 0.0, -1.0])
    assert np.isnan(frame[1:]).all()


def test_a_dyskinetic_territory_bulges_and_only_there() -> None:
    def radius(angle: float, height: float, heart: Ellipsoid) -> float:
        _, u, v = heart._cylinder(heart.position(heart.wall_point(angle, height, 0.0), 1.0))
        return float(np.hypot(u, v))

    for height in (0.5, 0.9):
        before = float(np.sqrt(HEART.borders(np.asarray(9.0 + 70.0 * height))[0]))
        assert radius(60.0, height, REGIONAL) == pytest.approx(before * (1 + 0.3 * 0.3))
        assert radius(200.0, height, REGIONAL) == pytest.approx(before * (1 - 0.5 * 0.3))
        assert radius(-60.0, height, REGIONAL) == pytest.approx(before * 0.7)
    assert radius(60.0, 0.1, REGIONAL) == pytest.approx(radius(60.0, 0.1, HEART))


@pytest.mark.parametrize(
    "change",
    [
        {"axis": (0.0, 0.0, 0.0)},
        {"anterior": (0.2, 2.0, -0.4)},
        {"far_mm": 20.0},
        {"endo_ratio": 0.0},
    ],
)
def test_invalid_hearts_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        replace(HEART, **change)  # type: ignore[arg-type]
