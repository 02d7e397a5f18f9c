"""LV measurements against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.ventricle import (
    TEICHHOLZ_WARNING,
    dimensions,
    fractional_shortening,
    mass_g,
    teichholz,
    teichholz_ml,
)

POINTS = np.array([[[40.0, 20.0], [40.0, 30.0], [40.0, 80.0], [40.0, 92.0]]])


def test_dimensions_follow_the_spacing_of_their_axis() -> None:
    found = dimensions(POINTS, (0.5, 2.0), (100, 100))
    assert (found.ivs[0], found.lvid[0], found.lvpw[0]) == (5.0, 25.0, 6.0)
    across = dimensions(POINTS[..., ::-1], (0.5, 2.0), (100, 100))
    assert across.lvid[0] == 100.0


def test_worked_examples() -> None:
    assert fractional_shortening(50.0, 30.0) == pytest.approx(0.4)
    assert teichholz_ml(50.0) == pytest.approx(7.0 / 7.4 * 125.0)
    assert mass_g(10.0, 50.0, 10.0) == pytest.approx(0.832 * (343 - 125) + 0.6)


def test_teichholz_volumes_carry_their_warning() -> None:
    volumes = teichholz(50.0, 30.0)
    assert volumes.edv_ml == pytest.approx(7.0 / 7.4 * 125.0)
    assert volumes.esv_ml == pytest.approx(7.0 / 5.4 * 27.0)
    assert volumes.ef_percent == pytest.approx(100 * (1 - 35.0 / 118.243243), rel=1e-6)
    assert volumes.warning == TEICHHOLZ_WARNING
    assert "guidelines" in volumes.warning


def test_oblique_lengths_use_both_spacings() -> None:
    oblique = np.array([[[0.0, 0.0], [3.0, 4.0], [9.0, 12.0], [12.0, 16.0]]])
    found = dimensions(oblique, (1.0, 2.0), (100, 100))
    assert found.ivs[0] == pytest.approx(np.hypot(6.0, 4.0))
    assert found.lvid[0] == pytest.approx(np.hypot(12.0, 8.0))
    assert found.lvpw[0] == pytest.approx(np.hypot(6.0, 4.0))


@pytest.mark.parametrize("point", [[-0.6, 5.0], [99.6, 5.0], [5.0, 49.6]])
def test_a_point_beyond_each_border_is_refused(point: list[float]) -> None:
    points = np.full((2, 4, 2), 20.0)
    points[1, 2] = point
    with pytest.raises(ArgumentError, match="point 2 of frame 1"):
        dimensions(points, (0.5, 0.5), (50, 100))


@pytest.mark.parametrize(
    ("points", "spacing", "message"),
    [
        (POINTS, None, "calibration"),
        (POINTS, (0.5, 0.0), "spacing"),
        (POINTS + 60, (0.5, 0.5), "outside|inside the image"),
        (POINTS * np.nan, (0.5, 0.5), "inside the image"),
        (POINTS[:, :3], (0.5, 0.5), "four points"),
        (POINTS[:, [0, 2, 1, 3]], (0.5, 0.5), "point 2 of frame 0 not beyond point 1"),
        (POINTS[:0], (0.5, 0.5), "four points"),
    ],
)
def test_bad_points(points: np.ndarray, spacing: tuple[float, float] | None, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        dimensions(points, spacing, (100, 100))


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan")])
def test_lengths_are_positive(value: float) -> None:
    for measure in (teichholz_ml, lambda v: teichholz(50.0, v), lambda v: mass_g(10.0, v, 10.0)):
        with pytest.raises(ArgumentError, match="positive"):
            measure(value)
    with pytest.raises(ArgumentError, match="positive"):
        fractional_shortening(50.0, value)


def test_a_ventricle_that_grows_in_systole_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no larger at end-systole") as caught:
        teichholz(30.0, 50.0)
    with pytest.raises(ArgumentError, match="no larger at end-systole"):
        fractional_shortening(40.0, 50.0)
    assert caught.value.remedy
    assert teichholz(50.0, 50.0).ef_percent == 0.0
