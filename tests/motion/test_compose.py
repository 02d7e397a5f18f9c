"""Composition by warping, on motion with a known composition."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion import compose
from cineflow.motion.compose import compose_all

SIZE = (48, 64)


def affine(matrix: np.ndarray) -> np.ndarray:
    """Displacement of x -> matrix (x - c) + c about the middle of the image, [2, H, W]."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    q = np.stack([columns - 31.5, rows - 23.5])
    return (np.einsum("ij,jhw->ihw", matrix, q) - q).astype(np.float32)


def test_two_linear_maps_multiply() -> None:
    angle = 0.1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shrink = np.diag([0.95, 0.9])
    composed = compose(affine(shrink), affine(turn))
    middle = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(composed[middle], affine(turn @ shrink)[middle], atol=1e-4)
    added = affine(shrink) + affine(turn)
    assert np.abs(added - affine(turn @ shrink))[middle].max() > 0.1


def test_compose_all_starts_at_zero_and_repeats() -> None:
    flow = affine(0.98 * np.eye(2))
    path = compose_all([flow, flow, flow])
    assert path.shape == (4, 2, *SIZE)
    assert not path[0].any()
    np.testing.assert_allclose(path[3], affine(0.98**3 * np.eye(2)), atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_flow_is_refused(value: float) -> None:
    flow = affine(np.eye(2))
    flow[0, 3, 4] = value
    with pytest.raises(ArgumentError, match="1 of 6144"):
        compose(affine(np.eye(2)), flow)


def test_mixed_sizes_and_an_empty_list_are_refused() -> None:
    with pytest.raises(ArgumentError, match="48, 64"):
        compose(affine(np.eye(2)), np.zeros((2, 48, 63), np.float32))
    with pytest.raises(ArgumentError, match="one or more flows"):
        compose_all([])


def test_the_name_is_the_function_whatever_was_imported_before() -> None:
    """A submodule of the same name must not hide it, in either order of imports."""
    for first in ("import cineflow.motion.compose", "import cineflow.runtime.track", "pass"):
        code = f"{first}\nfrom cineflow.motion import compose\nassert callable(compose), compose"
        subprocess.run([sys.executable, "-c", code], check=True)
