"""A poor range of grey levels, or too few of them, raises the expected error."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.motion.quality_grey import grey_factor


@pytest.mark.parametrize(
    ("levels", "factor"),
    [
        (np.arange(256), 1.0),
        (np.arange(64), 1.0),
        (np.arange(16), 4.0),
        (np.arange(240, 256), 4.0),  # what padding at the other end leaves
        (np.arange(16) * 17, 1.0),  # over the whole range: the error stays as it was
        (np.array([0, 85, 170, 255]), 2.0),
        (np.zeros(1, int), 64.0),
    ],
)
def test_the_factor_follows_the_levels_inside_the_sector(levels, factor: float) -> None:
    frames = np.random.default_rng(3).choice(levels, (2, 40, 60)).astype(np.uint8)
    inside = np.ones((40, 60), bool)
    inside[:, :10] = False
    frames[:, :, :10] = np.arange(10) * 25  # text outside the sector
    assert grey_factor(frames, inside) == pytest.approx(factor)


def test_a_few_hot_pixels_are_no_range() -> None:
    frames = np.random.default_rng(3).integers(0, 16, (2, 40, 60)).astype(np.uint8)
    frames[:, 3, :5] = 255
    assert grey_factor(frames, np.ones((40, 60), bool)) == pytest.approx(4.0)
