"""End-diastole and end-systole from a diameter over time."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.phases import find_phases
from cineflow.motion.ventricle import BORDERS, dimensions, in_order
from cineflow.phantom import Beat, parasternal_long_axis


def diameter(frames: int, period: float, start: float = 0.0) -> np.ndarray:
    return 45 + 7 * np.cos(2 * np.pi * (np.arange(frames) - start) / period)


def test_every_beat_is_found_and_the_ends_are_not() -> None:
    times = 20.0 * np.arange(160)
    phases = find_phases(diameter(160, 50, start=10), times)
    assert phases.ed == (10, 60, 110)
    assert phases.es == (35, 85, 135)
    assert phases.whole


def test_noise_and_missing_frames_do_not_add_beats() -> None:
    values = diameter(120, 50, start=10) + np.random.default_rng(0).normal(0, 0.4, 120)
    values[20:24] = np.nan
    phases = find_phases(values, 20.0 * np.arange(120))
    np.testing.assert_allclose(phases.ed, (10, 60, 110), atol=3)
    np.testing.assert_allclose(phases.es, (35, 85), atol=3)


def test_a_clip_that_starts_at_end_diastole_says_so() -> None:
    phases = find_phases(diameter(40, 50), 20.0 * np.arange(40))
    assert phases.ed == (0,)
    assert phases.es == (25,)
    assert not phases.whole


def test_a_clip_of_one_beat_has_its_end_diastoles_at_its_ends() -> None:
    """Filling slows down before the atrium contracts: that shoulder is smaller than the ends."""
    phantom = parasternal_long_axis(0, beat=Beat(beats=1, frame_rate_hz=50))
    lvid = dimensions(phantom.key_points, phantom.spacing_mm, phantom.size).lvid
    shoulder = lvid + 0.2 * np.exp(-(((np.arange(len(lvid)) - 36) / 3) ** 2))
    phases = find_phases(shoulder, phantom.times_ms)
    assert phases.ed[0] == 0
    assert abs(phases.es[0] - phantom.es) <= 3
    assert not phases.whole
    clear = find_phases(-shoulder, phantom.times_ms)  # and for end-systole alike
    assert clear.es[0] == 0


@pytest.mark.parametrize("values", [np.full(30, 40.0), diameter(4, 50), np.full(30, np.nan)])
def test_nothing_to_find(values: np.ndarray) -> None:
    assert find_phases(values, 20.0 * np.arange(len(values))) is None


def test_one_time_for_each_diameter() -> None:
    with pytest.raises(ArgumentError, match="one time"):
        find_phases(np.ones(5), np.ones(4))


def test_the_phantoms_phases_from_its_points() -> None:
    phantom = parasternal_long_axis(0, beat=Beat(beats=1.5, frame_rate_hz=20))
    assert phantom.key_point_names == BORDERS
    points = phantom.key_points
    assert in_order(points).all()
    assert not in_order(points[:, [0, 2, 1, 3]]).any()
    lvid = dimensions(points, phantom.spacing_mm, phantom.size).lvid
    phases = find_phases(lvid, phantom.times_ms)
    assert abs(phases.es[0] - phantom.es) <= 1
    assert phases.ed == (20,)
