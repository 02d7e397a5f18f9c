"""Strain against closed forms, in every convention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.points import follow
from cineflow.motion.strain import (
    Convention,
    deformation_gradient,
    directional_strain,
    from_stretch,
    global_longitudinal_strain,
    green_lagrange,
    line_strain,
    long_axis_directions,
    wall_directions,
    wall_strain,
)
from cineflow.phantom import Beat, ShortAxisPhantom, apical, ventricle


def linear(matrix: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Displacement of x -> matrix x in pixels, [D, *size]."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij")[::-1])
    return np.einsum("ij,j...->i...", matrix - np.eye(len(size)), grid.astype(float))


@pytest.mark.parametrize("size", [(9, 12), (5, 9, 12)])
def test_gradient_of_a_linear_map(size: tuple[int, ...]) -> None:
    matrix = np.eye(len(size)) + 0.1 * np.random.default_rng(0).standard_normal(2 * (len(size),))
    gradient = deformation_gradient(linear(matrix, size))
    np.testing.assert_allclose(gradient, np.broadcast_to(matrix, gradient.shape), atol=1e-12)


def test_unequal_spacing_counts() -> None:
    shear = np.array([[1.0, 0.2], [0.0, 1.0]])  # in pixels: x moves 0.2 px per row
    gradient = deformation_gradient(linear(shear, (9, 12)), spacing=(0.5, 2.0))
    np.testing.assert_allclose(gradient[4, 4], [[1.0, 0.2 * 2.0 / 0.5], [0.0, 1.0]])


def test_a_rotation_has_zero_strain() -> None:
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tensor = green_lagrange(deformation_gradient(linear(turn, (9, 12))))
    np.testing.assert_allclose(tensor, 0.0, atol=1e-12)


def test_green_lagrange_of_a_shear_is_on_the_reference_grid() -> None:
    """F = [[1, k], [0, 1]]: the fibre along y lengthens (with Almansi strain, that along x)."""
    tensor = green_lagrange(np.array([[1.0, 0.3], [0.0, 1.0]]))
    np.testing.assert_allclose(tensor, [[0.0, 0.15], [0.15, 0.045]], atol=1e-15)


def test_conventions_differ_as_they_should() -> None:
    gradient = np.diag([0.85, 1.4])
    along = np.eye(2)
    for axis, stretch in enumerate((0.85, 1.4)):
        for convention in ("lagrangian", "green_lagrange", "natural"):
            strain = directional_strain(gradient, along[axis], convention)
            assert strain == pytest.approx(float(from_stretch(np.asarray(stretch), convention)))
    tensor = green_lagrange(gradient)
    oblique = np.array([0.6, 0.8])
    assert directional_strain(gradient, oblique, "green_lagrange") == pytest.approx(
        oblique @ tensor @ oblique
    )
    with pytest.raises(ArgumentError, match="convention"):
        from_stretch(np.ones(1), "engineering")  # type: ignore[arg-type]


@pytest.mark.parametrize("convention", ["lagrangian", "green_lagrange", "natural"])
def test_phantom_wall_matches_its_closed_form(convention: Convention) -> None:
    phantom = ShortAxisPhantom()
    heart = phantom.kinematics
    x, y = np.asarray(heart.centre_mm) / phantom.spacing_mm[0]
    found = wall_strain(
        phantom.displacement(phantom.es),
        wall_directions(phantom.size, (x, y)),
        phantom.spacing_mm,
        convention,
    )
    q = phantom.scanner.pixels_mm - heart.centre_mm
    radius = np.hypot(q[..., 0], q[..., 1])
    mid = (radius > 28) & (radius < 32)
    error = np.abs(found - phantom.strain(phantom.es, convention))[:, mid]
    assert error.mean(axis=1).max() < 2e-3
    # the circumferential stretch of a ring is r / R, apart from the shear of torsion
    if convention == "lagrangian":
        assert found[1][mid].mean() == pytest.approx(-0.155, abs=0.02)


def test_volume_strain_matches_its_closed_form() -> None:
    """Away from the borders, where central differences reach into the cavity."""
    phantom = ventricle(0, size=(96, 96, 96), beat=Beat(frame_rate_hz=25.0))
    heart = phantom.kinematics
    found = wall_strain(phantom.displacement(9), phantom.directions(), phantom.spacing_mm)
    z, u, v = heart._cylinder(phantom.scanner.pixels_mm)
    endo, epi = (np.sqrt(border) for border in heart.borders(z))
    depth = (np.hypot(u, v) - endo) / (epi - endo)
    height = heart.height_of(z)
    mid = phantom.myocardium(0) & (np.abs(depth - 0.5) < 0.2) & (height > 0.3) & (height < 0.95)
    assert mid.sum() > 3000
    error = np.abs(found - phantom.strain(9))[:, mid]
    assert error.mean(axis=1).max() < 0.01


def test_cylinder_directions_by_hand() -> None:
    around = long_axis_directions((5, 7, 9), (4, 3, 0), (4, 3, 4))
    np.testing.assert_allclose(around[:, 2, 3, 6], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(around[:, 2, 0, 4], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    assert np.isnan(around[:, 2, 3, 4]).all()  # undefined on the axis
    flat = wall_directions((7, 9), (4, 3))
    np.testing.assert_allclose(around[:2, 1, ..., :2], flat, atol=1e-12)


def test_directions_are_in_mm_space() -> None:
    flat = wall_directions((7, 9), (4, 3), (4.0, 1.0))  # 3 right, 1 down: 3 and 4 mm
    np.testing.assert_allclose(flat[:, 4, 7], [[0.6, 0.8], [-0.8, 0.6]])
    solid = long_axis_directions((5, 7, 9), (4, 3, 0), (4, 3, 4), spacing_mm=(9.0, 4.0, 1.0))
    np.testing.assert_allclose(solid[0, 2, 4, 7], [0.6, 0.8, 0.0])
    tilted = long_axis_directions((5, 7, 9), (0, 0, 0), (3, 0, 2), spacing_mm=(2.0, 1.0, 1.0))
    np.testing.assert_allclose(tilted[2, 2, 5, 1], [0.6, 0.0, 0.8], atol=1e-12)


def test_directions_of_a_wall_follow_its_normals() -> None:
    phantom = ventricle(0, size=(24, 24, 24), beat=Beat(frame_rate_hz=5.0))
    heart, true = phantom.kinematics, phantom.directions()
    apex = np.asarray(heart.apex_mm) / phantom.spacing_mm[0]
    found = long_axis_directions(
        (24, 24, 24), apex, apex + np.array(heart.axis), normals=3.0 * true[0]
    )
    wall = phantom.myocardium(0)
    # AHA's sense is opposite to the right-hand rule; the strain of a fibre is the same either way
    np.testing.assert_allclose(found[0][wall], true[0][wall], atol=1e-9)
    np.testing.assert_allclose(found[1][wall], -true[1][wall], atol=1e-9)
    np.testing.assert_allclose(found[2][wall], true[2][wall], atol=1e-9)


def test_an_undefined_direction_has_no_strain() -> None:
    """In a still field the strain is 0, and NaN (not -100 %) where the direction is undefined."""
    flat = wall_strain(np.zeros((2, 7, 9)), wall_directions((7, 9), (4, 3)))
    missing = np.isnan(flat)
    assert missing[:, 3, 4].all()
    assert missing.sum() == 2
    np.testing.assert_allclose(flat[~missing], 0.0, atol=1e-12)
    # an oblique axis passes through voxel centres only up to rounding
    along = long_axis_directions((5, 7, 9), np.zeros(3), np.array([4.0, 4.0, 4.0]))
    solid = wall_strain(np.zeros((3, 5, 7, 9)), along)
    assert np.isnan(solid[:, range(5), range(5), range(5)]).all()
    assert np.isnan(solid).sum() == 15
    np.testing.assert_allclose(solid[~np.isnan(solid)], 0.0, atol=1e-12)
    assert np.isnan(directional_strain(np.eye(2), np.zeros(2)))


@pytest.mark.parametrize("centre", [(np.nan, 16), (4, np.inf), (4,)])
def test_an_invalid_centre_is_refused(centre: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match="centre"):
        wall_directions((7, 9), centre)


def test_strain_of_a_stretched_block() -> None:
    """x by 1.4, y by 0.9, z by 0.8, on voxels of 1 x 2 x 3 mm."""
    size = (5, 6, 7)
    moved = linear(np.diag([1.4, 0.9, 0.8]), size)
    along = np.broadcast_to(np.eye(3)[:, None, None, None], (3, *size, 3))
    found = wall_strain(moved, along, (3.0, 2.0, 1.0))
    np.testing.assert_allclose(found[:, 2, 3, 3], [0.4, -0.1, -0.2], atol=1e-12)
    found = wall_strain(moved, along, None, "green_lagrange")
    np.testing.assert_allclose(found[:, 2, 3, 3], [0.48, -0.095, -0.18], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": (4, 3, 0)}, "base away"),
        ({"base": (4, 3, np.inf)}, "base: a finite point"),
        ({"spacing_mm": (1.0, 1.0)}, "slice_mm"),
        ({"apex": (np.nan, 3, 0)}, "apex: a finite point"),
        ({"spacing_mm": 0.45}, "slice_mm"),
        ({"normals": np.zeros((5, 7, 9))}, "normals"),
    ],
)
def test_invalid_directions_are_refused(change: dict[str, Any], message: str) -> None:
    place: dict[str, Any] = {"size": (5, 7, 9), "apex": (4, 3, 0), "base": (4, 3, 4)}
    with pytest.raises(ArgumentError, match=message):
        long_axis_directions(**{**place, **change})


def test_directions_of_another_grid_are_refused() -> None:
    with pytest.raises(ArgumentError, match="directions"):
        wall_strain(np.zeros((2, 8, 9)), wall_directions((9, 8), (4, 4)))
    with pytest.raises(ArgumentError, match="row_mm"):
        wall_directions((9, 8), (4, 4), (1.0, 0.0))
    with pytest.raises(ArgumentError, match="one direction for each gradient"):
        directional_strain(np.ones((9, 8, 2, 2)), np.ones((8, 9, 2)))


def test_gls_of_an_ellipse_is_its_perimeters_ratio() -> None:
    """Half an ellipse of semi-axes 70 and 24, then 0.84 and 0.7 of them."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 4001)

    def contour(length: float, width: float) -> np.ndarray:
        return np.stack([length * np.cos(angle), width * np.sin(angle)], axis=1)

    def perimeter(a: float, b: float) -> float:
        """Ramanujan's second approximation, good to 1e-5 here."""
        h = ((a - b) / (a + b)) ** 2
        return float(np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h))))

    found = global_longitudinal_strain(contour(70, 24), contour(58.8, 16.8), "endocardial")
    true = perimeter(58.8, 16.8) / perimeter(70, 24) - 1
    assert found.strain == pytest.approx(true, abs=2e-4)
    assert str(found) == f"GLS {100 * found.strain:+.1f} % (endocardial line, lagrangian)"
    # unequal spacing: the same ellipse seen with columns half as wide
    squeezed = [contour(*axes) * [2.0, 1.0] for axes in ((70, 24), (58.8, 16.8))]
    again = global_longitudinal_strain(*squeezed, "mid-wall", spacing_mm=(1.0, 0.5))
    assert again.strain == pytest.approx(found.strain)
    with pytest.raises(ArgumentError, match="endocardial"):
        global_longitudinal_strain(*squeezed, "inner")  # type: ignore[arg-type]


def test_gls_from_a_dense_field_is_the_phantoms() -> None:
    phantom = apical(0, beat=Beat(frame_rate_hz=25.0))
    line = phantom.track(phantom.kinematics.contour(0.5))
    found = follow(line[0], phantom.displacement(9)[None])[0]
    true = global_longitudinal_strain(line[0], line[9], "mid-wall").strain
    assert true < -0.14
    assert global_longitudinal_strain(line[0], found, "mid-wall").strain == pytest.approx(
        true, abs=1e-3
    )


def test_line_strain() -> None:
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)
    assert line_strain(square, 0.8 * square, closed=True) == pytest.approx(-0.2)
    # twice as wide: the open line of three sides grows from 6 to 10, the closed line from 8 to 12
    wide = square * np.array([2.0, 1.0])
    assert line_strain(square, wide) == pytest.approx(10 / 6 - 1)
    assert line_strain(square, wide, closed=True) == pytest.approx(12 / 8 - 1)
    assert line_strain(square[:2], 1.5 * square[:2], convention="natural") == pytest.approx(
        np.log(1.5)
    )


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (np.zeros((1, 2)), np.zeros((1, 2)), "two or more"),
        (np.zeros((3, 2)), np.zeros((4, 2)), "two or more"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "length 0"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), "finite"),
    ],
)
def test_invalid_lines_are_refused(before: np.ndarray, after: np.ndarray, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        line_strain(before, after)


@pytest.mark.parametrize(
    ("field", "spacing", "message"),
    [
        (np.zeros((2, 1, 5)), None, "displacement"),
        (np.zeros((3, 5, 5)), None, "displacement"),
        (np.full((2, 5, 5), np.inf), None, "finite"),
        (np.zeros((2, 5, 5)), (1.0, -1.0), "spacing"),
    ],
)
def test_invalid_fields_are_refused(
    field: np.ndarray, spacing: tuple[float, ...] | None, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        deformation_gradient(field, spacing)


@pytest.mark.parametrize("stretch", [0.0, -0.2])
def test_a_zero_length_has_no_logarithm(stretch: float) -> None:
    with pytest.raises(ArgumentError, match="positive"):
        from_stretch(np.array([1.0, stretch]), "natural")
    found = from_stretch(np.array([1.0, np.nan]), "natural")  # missing stays missing
    np.testing.assert_array_equal(found, [0.0, np.nan])
