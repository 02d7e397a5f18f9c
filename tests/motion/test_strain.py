"""Strain against closed forms, in every convention."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.strain import (
    deformation_gradient,
    directional_strain,
    from_stretch,
    green_lagrange,
    line_strain,
    wall_directions,
)
from cineflow.phantom import ShortAxisPhantom
from cineflow.phantom import deformation_gradient as true_gradient


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


def test_rotation_is_no_strain() -> None:
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tensor = green_lagrange(deformation_gradient(linear(turn, (9, 12))))
    np.testing.assert_allclose(tensor, 0.0, atol=1e-12)


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


def test_phantom_wall_matches_its_closed_form() -> None:
    phantom = ShortAxisPhantom()
    heart = phantom.kinematics
    u = phantom.displacement(phantom.es)
    x, y = np.asarray(heart.centre_mm) / phantom.spacing_mm[0]  # type: ignore[attr-defined]
    gradient = deformation_gradient(u)
    directions = wall_directions(phantom.size, (x, y))
    q = phantom.scanner.pixels_mm - heart.centre_mm  # type: ignore[attr-defined]
    radius = np.hypot(q[..., 0], q[..., 1])
    mid = (radius > 28) & (radius < 32)
    exact = true_gradient(heart, phantom.scanner.pixels_mm[mid], 1.0)
    for direction in directions:
        found = directional_strain(gradient[mid], direction[mid])
        true = directional_strain(exact, direction[mid])
        assert np.abs(found - true).mean() < 2e-3
    # circumferential stretch of a ring is r / R, apart from the torsion's shear
    ring = directional_strain(gradient, directions[1])[mid]
    assert ring.mean() == pytest.approx(-0.155, abs=0.02)


def test_line_strain() -> None:
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)
    assert line_strain(square, 0.8 * square, closed=True) == pytest.approx(-0.2)
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
def test_lines_without_meaning(before: np.ndarray, after: np.ndarray, message: str) -> None:
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
def test_fields_without_meaning(
    field: np.ndarray, spacing: tuple[float, ...] | None, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        deformation_gradient(field, spacing)
