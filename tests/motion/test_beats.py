"""Beats from triggers and from curves with known beats."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.beats import HeartBeat, compensate, drift, from_curve, from_triggers
from cineflow.motion.metrics import loop_closure
from cineflow.phantom import Beat

CLOCK = np.arange(200) * 20.0


def cavity(beat: Beat) -> np.ndarray:
    return np.array([50.0 - 14.0 * beat.activation(frame) for frame in range(beat.frames)])


@pytest.mark.parametrize("rate", [45.0, 60.0, 100.0, 150.0])
@pytest.mark.parametrize("noise", [0.0, 0.8])
def test_curve_of_a_phantom(rate: float, noise: float) -> None:
    beat = Beat(heart_rate_bpm=rate, frame_rate_hz=50.0, beats=3.1)
    curve = cavity(beat) + noise * np.random.default_rng(1).standard_normal(beat.frames)
    found = from_curve(curve, beat.times_ms)
    assert len(found) == 3
    tolerance = 1 if noise == 0 else 4
    for number, one in enumerate(found):
        assert abs(one.ed - beat.end_diastoles[number]) <= tolerance
        # the phantom rests at end-systole until phase 0.42
        rest = 0.06 * beat.period_ms / 20.0
        assert -tolerance <= one.es - beat.end_systoles[number] <= rest + tolerance
        assert one.regular


@pytest.mark.parametrize("rate", [20.0, 30.0, 50.0, 80.0])
@pytest.mark.parametrize("beats", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_less_than_a_beat_is_refused(beats: float, rate: float) -> None:
    """Even if the heart has filled again, but not completely. The reversed curve as well."""
    beat = Beat(beats=beats, frame_rate_hz=rate)
    for curve in (cavity(beat), cavity(beat)[::-1]):
        with pytest.raises(ArgumentError, match="one beat or more"):
            from_curve(curve, beat.times_ms)


@pytest.mark.parametrize("rate", [20.0, 50.0, 80.0])
def test_a_cut_second_beat_is_left_out(rate: float) -> None:
    beat = Beat(beats=1.8, frame_rate_hz=rate)
    (found,) = from_curve(cavity(beat), beat.times_ms)
    assert (found.ed, found.end) == beat.end_diastoles
    turned = beat.frames - 1
    (found,) = from_curve(cavity(beat)[::-1], beat.times_ms)
    assert (turned - found.end, turned - found.ed) == beat.end_diastoles


@pytest.mark.parametrize("rate", [20.0, 30.0, 50.0, 80.0])
@pytest.mark.parametrize("beats", [1.05, 1.1, 2.05, 2.1])
def test_the_last_end_diastole_is_found(beats: float, rate: float) -> None:
    beat = Beat(beats=beats, frame_rate_hz=rate)
    found = from_curve(cavity(beat), beat.times_ms)
    for end, true in zip([one.end for one in found], beat.end_diastoles[1:], strict=True):
        assert abs(end - true) <= 1


@pytest.mark.parametrize("curve", [[3, 1, 3], [3, 1, 1, 3]])
def test_a_beat_of_few_frames_has_its_end_systole_between(curve: list[int]) -> None:
    (found,) = from_curve(np.array(curve), np.arange(len(curve)) * 250.0)
    assert (found.ed, found.es, found.end) == (0, 1, len(curve) - 1)


def test_few_frames_short_of_a_beat_are_refused() -> None:
    with pytest.raises(ArgumentError, match="one beat or more"):
        from_curve(np.array([1, 0, 0.3, 0.6]), np.arange(4) * 250.0)


def test_a_still_heart_is_refused() -> None:
    with pytest.raises(ArgumentError, match="constant"):
        from_curve(np.full(200, 40.0), CLOCK)


def test_triggers_name_the_nearest_frames() -> None:
    beats = from_triggers(np.array([-500.0, 3.0, 811.0, 1602.0, 9000.0]), CLOCK)
    assert [(b.ed, b.end) for b in beats] == [(0, 41), (41, 80)]
    assert all(b.regular and b.es is None for b in beats)


def test_ectopic_and_missing_triggers_are_named() -> None:
    beats = from_triggers(np.array([0, 800, 1300, 2100, 3700, 3980.0]), CLOCK)
    assert [b.regular for b in beats] == [True, False, True, False, False]
    assert "ectopic" in beats[1].note
    assert "missed" in beats[3].note


def test_of_two_intervals_that_differ_neither_is_called_regular() -> None:
    phase = np.interp(CLOCK[:127], [0, 1000, 2500, 4000], [0, 1, 2, 3])
    for beats in (
        from_triggers(np.array([0.0, 1000.0, 2500.0]), CLOCK),
        from_curve(50.0 + 7.0 * np.cos(2 * np.pi * phase), CLOCK[:127]),
    ):
        assert [beat.regular for beat in beats] == [False, False]
        assert "do not show which" in beats[0].note
    assert all(beat.regular for beat in from_triggers(np.array([0.0, 1000.0, 2190.0]), CLOCK))


def test_an_r_wave_without_a_frame_is_named() -> None:
    gap = CLOCK[(CLOCK < 200.0) | (CLOCK > 1800.0)]
    beats = from_triggers(np.array([0.0, 1000.0, 2000.0, 3000.0]), gap)
    assert [beat.regular for beat in beats] == [False, False, True]
    assert beats[0].note == "no frame within 820 ms of an R wave"


@pytest.mark.parametrize(
    ("triggers", "times", "message"),
    [
        ([100.0], CLOCK, "two or more R waves"),
        ([900.0, 100.0], CLOCK, "increasing"),
        ([0.0, 0.8, 1.6], CLOCK, "in ms"),
        ([0.0, np.nan], CLOCK, "finite"),
        ([0.0, 800.0], CLOCK[::-1], "increasing"),
    ],
)
def test_bad_triggers(triggers: list[float], times: np.ndarray, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        from_triggers(np.array(triggers), times)


def ring(wider_px: float) -> tuple[np.ndarray, np.ndarray]:
    """A displacement [2, 33, 33] that points outward everywhere, and a ring to measure it on."""
    y, x = np.mgrid[-16:17, -16:17].astype(float)
    radius = np.maximum(np.hypot(x, y), 1e-9)
    return wider_px * np.stack([x, y]) / radius, (radius > 6) & (radius < 12)


def test_drift_is_the_mean_length_per_frame_not_the_length_of_the_mean() -> None:
    wide, mask = ring(3.0)
    found = drift(wide, mask, HeartBeat(10, 20, 60))
    assert found == pytest.approx(3.0 / 50)
    assert found == pytest.approx(loop_closure(wide, mask) / 50)


@pytest.mark.parametrize(
    ("value", "inside", "end", "message"),
    [
        (1.0, True, 10, "frames 10 to 10"),  # a double trigger within one frame
        (1.0, True, 9, "ends after it began"),
        (np.nan, True, 60, "finite"),
        (1.0, False, 60, "empty mask"),
    ],
)
def test_drift_needs_a_valid_beat(value: float, inside: bool, end: int, message: str) -> None:
    field, mask = np.full((2, 8, 8), value), np.full((8, 8), inside)
    with pytest.raises(ArgumentError, match=message):
        drift(field, mask, HeartBeat(10, None, end))


def test_linear_drift_is_taken_out_on_request() -> None:
    ramp = np.linspace(0, 2, 5, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 4, 4))
    np.testing.assert_allclose(compensate(ramp), 0.0, atol=1e-6)
    with pytest.raises(ArgumentError):
        compensate(ramp[:1])


def test_ectopic_and_missing_beats_of_a_curve_are_named() -> None:
    diastoles = np.cumsum([0, 1000, 1000, 400, 1500, 1000])
    times = np.arange(0, diastoles[-1] + 20, 20.0)
    phase = np.interp(times, diastoles, np.arange(len(diastoles)))
    found = from_curve(50.0 + 7.0 * np.cos(2 * np.pi * phase), times)
    assert [beat.regular for beat in found] == [True, True, False, False, True]
    assert "ectopic" in found[2].note
    assert "missed" in found[3].note


def test_the_refusal_of_a_curve_says_what_came() -> None:
    broken = np.where(np.arange(200) < 3, np.nan, 1.0)
    with pytest.raises(ArgumentError, match="got 3 of 200 NaN or infinite"):
        from_curve(broken, CLOCK)
    with pytest.raises(ArgumentError, match=r"got \[20\]"):
        from_curve(np.ones(20), CLOCK)
    with pytest.raises(ArgumentError, match="got 3 of 200 NaN or infinite"):
        from_curve(np.ones(200), broken)


def test_whole_pixels_are_compensated_as_numbers() -> None:
    whole = np.array([0, 1, 0])[:, None, None, None] * np.ones((1, 2, 4, 4), int)
    whole[2] = 1
    assert compensate(whole)[1] == pytest.approx(0.5)


def test_compensation_refuses_invalid_displacements() -> None:
    with pytest.raises(ArgumentError, match="1 of 96 NaN or infinite"):
        compensate(np.where(np.arange(96).reshape(3, 2, 4, 4) == 5, np.nan, 0.0))
    with pytest.raises(ArgumentError, match="up to 1 px in entry 0"):
        compensate(np.ones((3, 2, 4, 4)))
    with pytest.raises(ArgumentError, match=r"\[3, 5, 4, 4\]"):
        compensate(np.zeros((3, 5, 4, 4)))
