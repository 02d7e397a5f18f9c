"""Points followed through linear fields, where interpolation is exact."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.points import follow
from cineflow.phantom import Beat, ShortAxisPhantom, ventricle


@pytest.mark.parametrize("size", [(9, 12), (5, 9, 12)])
def test_linear_fields_are_read_exactly(size: tuple[int, ...]) -> None:
    dimensions = len(size)
    rng = np.random.default_rng(0)
    matrix, shift = rng.standard_normal((dimensions, dimensions)), rng.standard_normal(dimensions)
    grid = np.stack(np.indices(size, dtype=np.float64)[::-1])
    field = np.tensordot(matrix, grid, 1) + shift.reshape(-1, *[1] * dimensions)
    last = np.array(size[::-1]) - 1.0
    points = np.concatenate([rng.random((20, dimensions)) * last, [last, 0 * last]])
    path = follow(points, np.stack([0 * field, field]).astype(np.float32))
    np.testing.assert_array_equal(path[0], points)
    np.testing.assert_allclose(path[1], points + points @ matrix.T + shift, atol=1e-5)


def test_true_displacement_carries_the_phantoms_key_points() -> None:
    flat = ShortAxisPhantom(0, size=(128, 128), beat=Beat(frame_rate_hz=5.0))
    volume = ventricle(0, size=(64, 64, 64), beat=Beat(frame_rate_hz=5.0))
    for phantom in (flat, volume):
        moved = np.stack([phantom.displacement(k) for k in range(3)])
        found = follow(phantom.key_points[0], moved)
        error = np.linalg.norm(found - phantom.key_points[:3], axis=-1)
        assert error.max() < 0.35  # half of the points lie on a border, where the field has a kink
        assert error.mean() < 0.1


@pytest.mark.parametrize(
    ("points", "field", "message"),
    [
        ([[12.0, 3.0]], np.zeros((1, 2, 9, 12)), "point 0"),
        ([[5.0, 3.0], [5.0, -0.1]], np.zeros((1, 2, 9, 12)), "point 1"),
        ([[np.nan, 3.0]], np.zeros((1, 2, 9, 12)), "point 0"),
        ([[5.0, 3.0, 2.0]], np.zeros((1, 2, 9, 12)), "points"),
        (np.zeros((0, 2)), np.zeros((1, 2, 9, 12)), "points"),
        ([[5.0, 3.0]], np.full((1, 2, 9, 12), np.nan), "finite"),
        ([[5.0, 3.0]], np.zeros((0, 2, 9, 12)), "one or more displacements"),
    ],
)
def test_invalid_points_are_refused(points: object, field: np.ndarray, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        follow(np.array(points), field)


def test_fields_of_different_sizes_are_refused() -> None:
    fields = [np.zeros((2, *size), np.float32) for size in ((9, 12), (4, 5))]
    with pytest.raises(ArgumentError, match="displacement 1"):
        follow(np.array([[8.0, 6.0]]), fields)  # type: ignore[arg-type]
