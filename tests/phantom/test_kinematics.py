"""The phantom's motion, against closed forms and its own inverse."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.phantom import Annulus, Beat, Region, deformation_gradient

NORMAL = Annulus(centre_mm=(57.0, 64.0))
REGIONAL = Annulus(centre_mm=(57.0, 64.0), regions=(Region(40.0, 60.0, -0.3), Region(200, 70, 0.5)))


def points(count: int = 400) -> np.ndarray:
    return np.random.default_rng(0).random((count, 2)) * 115.0


@pytest.mark.parametrize("heart", [NORMAL, REGIONAL], ids=["normal", "regional"])
@pytest.mark.parametrize("activation", [0.0, 0.4, 1.0])
def test_material_undoes_position(heart: Annulus, activation: float) -> None:
    there = heart.position(points(), activation)
    np.testing.assert_allclose(heart.material(there, activation), points(), atol=1e-8)


def test_wall_keeps_its_volume() -> None:
    wall = np.stack([NORMAL.wall_point(angle, 0.5) for angle in range(0, 360, 7)])
    area = np.linalg.det(deformation_gradient(NORMAL, wall, 1.0))
    np.testing.assert_allclose(area * NORMAL.longitudinal, 1.0, atol=1e-7)


def test_endocardium_reaches_its_ratio_and_rotation() -> None:
    start = NORMAL.wall_point(30.0, 0.0)
    end = NORMAL.position(start, 1.0) - NORMAL.centre_mm - NORMAL.translation_mm
    assert np.hypot(*end) == pytest.approx(NORMAL.endo_mm * NORMAL.endo_ratio)
    assert np.rad2deg(np.arctan2(end[1], end[0])) == pytest.approx(30.0 + NORMAL.rotation_deg)


def test_ring_has_no_directions_at_its_centre() -> None:
    centre, right = NORMAL.directions(np.array([NORMAL.centre_mm, (67.0, 64.0)]))
    assert np.isnan(centre).all()
    np.testing.assert_array_equal(right, np.eye(2))


def test_dyskinetic_sector_moves_outwards() -> None:
    def radius(angle: float, activation: float) -> float:
        moved = REGIONAL.position(REGIONAL.wall_point(angle, 0.0), activation)
        centre = np.asarray(REGIONAL.centre_mm) + activation * np.asarray(REGIONAL.translation_mm)
        return float(np.hypot(*(moved - centre)))

    assert radius(40.0, 1.0) > radius(40.0, 0.0)
    assert radius(200.0, 1.0) == pytest.approx(REGIONAL.endo_mm * (1 - 0.5 * 0.28))
    assert radius(120.0, 1.0) == pytest.approx(REGIONAL.endo_mm * 0.72)


def test_radii_out_of_order_are_refused() -> None:
    with pytest.raises(ArgumentError, match="endo < epi"):
        Annulus(centre_mm=(0, 0), endo_mm=36.0)


def test_beats_repeat() -> None:
    beat = Beat(heart_rate_bpm=75.0, frame_rate_hz=50.0, beats=3)
    assert beat.frames == 120
    assert beat.end_diastoles == (0, 40, 80)
    assert [beat.activation(f) for f in (14, 54, 94)] == pytest.approx([beat.activation(14)] * 3)
    assert beat.end_systoles == (14, 54, 94)


def test_activation_rises_to_one_and_returns() -> None:
    beat = Beat()
    curve = [beat.activation(frame) for frame in range(beat.frames)]
    assert curve[0] == 0.0
    assert curve[beat.end_systoles[0]] == pytest.approx(1.0)
    assert np.argmax(curve) >= beat.end_systoles[0]
    assert curve[-1] < 0.05


def test_frame_outside_the_cine_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"frame in 0\.\.49"):
        Beat().activation(50)
