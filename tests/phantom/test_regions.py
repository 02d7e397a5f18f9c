"""Regions and segments of the wall against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.phantom import Region
from cineflow.phantom.regions import aha_segment, contraction


@pytest.mark.parametrize(
    ("angle", "height", "segment"),
    [
        (0, 0.9, 1), (-30, 0.9, 1), (29.9, 0.9, 1), (30, 0.9, 2), (-31, 0.9, 6), (359, 0.9, 1),
        (180, 0.5, 10), (90, 0.5, 9), (-60, 0.5, 12), (0, 0.2, 13), (60, 0.2, 14),
        (180, 0.2, 15), (-90, 0.2, 16), (44.9, 0.0, 13), (45, 0.0, 14), (10, -0.01, 17),
        (10, 1.01, 0), (0, 2 / 3, 1), (0, 1 / 3, 7),
    ],
)  # fmt: skip
def test_segments(angle: float, height: float, segment: int) -> None:
    assert aha_segment(np.array(angle), np.array(height)) == segment


def test_contraction_is_full_inside_half_at_the_width_and_one_outside() -> None:
    region = Region(40.0, 60.0, -0.5, heights=(0.3, 0.8))
    angle = np.deg2rad([40.0, 10.0, 70.0, 63.9, 76.1, 220.0])
    share = contraction((region,), angle, 12.0)
    np.testing.assert_allclose(share, [-0.5, 0.25, 0.25, -0.5, 1.0, 1.0], atol=1e-3)
    at = np.array([0.1, 0.3, 0.5, 0.8, 0.95])
    share = contraction((region,), np.full(5, np.deg2rad(40.0)), 12.0, at)
    np.testing.assert_allclose(share, [1.0, 0.25, -0.5, 0.25, 1.0], atol=1e-9)


def test_without_regions_the_share_is_one() -> None:
    assert contraction((), np.zeros(7), 12.0) == 1.0


@pytest.mark.parametrize(
    "arguments",
    [(0.0, 0.0, 0.5), (0.0, 361.0, 0.5), (0.0, 60.0, np.nan), (0.0, 60.0, 0.5, (0.9, 0.1))],
)
def test_invalid_regions_are_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ArgumentError):
        Region(*arguments)
