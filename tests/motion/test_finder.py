"""End-diastole found during a stream, on hearts with exactly known beats."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.motion.blocks import BlockMotion
from cineflow.motion.finder import BeatFinder, Event
from cineflow.phantom import Beat

Y, X = np.mgrid[-1:1:12j, -1:1:16j]
TISSUE = np.ones((12, 16))


def motion_of(flow) -> BlockMotion:
    return BlockMotion(np.asarray(flow, np.float32), TISSUE, 100 * TISSUE)


def pulse(beat: Beat, *, noise=0.0, slide=0.0, contraction=(-6.0, -4.0), seed=0):
    """Block motions of a field that contracts and relaxes with the beat's activation."""
    activation = [beat.activation(frame) for frame in range(beat.frames)]
    return swinging(activation, noise, slide, contraction, seed)


def swinging(activation, noise=0.0, slide=0.0, contraction=(-6.0, -4.0), seed=0):
    """Block motions of a field that is contracted by `activation`, a number per frame."""
    rng = np.random.default_rng(seed)
    for change in np.diff(activation):
        flow = np.stack([contraction[0] * X, contraction[1] * Y]) * change
        flow += slide + noise * rng.standard_normal(flow.shape)
        yield motion_of(flow)


def found(motions):
    """(end-diastole, frame that confirmed it) of each beat."""
    finder, candidate, beats = BeatFinder(), None, []
    for frame, motion in enumerate(motions, start=1):
        finder, event = finder.observe(motion)
        if event is Event.CANDIDATE:
            candidate = frame
        if event is Event.CONFIRMED and candidate is not None:
            beats.append((candidate, frame))
            candidate = None
    return beats


@pytest.mark.parametrize("rate", [45.0, 60.0, 90.0, 120.0])
@pytest.mark.parametrize("first", [0, 9, 31, 40])
def test_every_beat_after_the_learnt_ones(rate, first):
    beat = Beat(heart_rate_bpm=rate, frame_rate_hz=50.0, beats=7.5)
    beats = found(list(pulse(beat, noise=0.1))[first:])
    truth = [frame - first for frame in beat.end_diastoles]
    period = beat.period_ms / 20.0
    assert len(beats) >= 3
    for end_diastole, confirmed in beats:
        assert min(abs(end_diastole - true) for true in truth) <= 2
        assert 0 < confirmed - end_diastole <= 0.25 * period
    gaps = np.diff([end_diastole for end_diastole, _ in beats])
    np.testing.assert_allclose(gaps, period, atol=2.5)


def test_the_first_beat_comes_after_two():
    beat = Beat(frame_rate_hz=50.0, beats=3.3)
    assert [ed for ed, _ in found(pulse(beat))] == [100, 150]


def test_a_record_that_begins_with_a_strong_atrial_kick():
    """Its first leg is short but not systole: the record starts in the middle of that leg."""
    kick, systole = np.linspace(0.5, 0.0, 8), np.linspace(0.0, 1.0, 18)[1:]
    rest = np.concatenate([np.linspace(1.0, 0.5, 14)[1:], np.full(12, 0.5)])
    beat = np.concatenate([kick[1:], systole, rest])
    beats = [ed for ed, _ in found(swinging(np.concatenate([kick[:1], *[beat] * 6])))]
    assert len(beats) >= 3
    for end_diastole in beats:
        assert (end_diastole - 7) % len(beat) in (0, 1, len(beat) - 1)


def test_a_slow_slide_of_the_probe_hides_no_beat():
    beat = Beat(frame_rate_hz=50.0, beats=5.3)
    steady = [ed for ed, _ in found(pulse(beat, slide=0.02))]
    assert steady == pytest.approx([100, 150, 200, 250], abs=2)


@pytest.mark.parametrize("contraction", [(-6.0, 4.0), (6.0, 4.0), (0.0, -5.0)])
def test_any_direction_of_motion(contraction):
    beat = Beat(frame_rate_hz=50.0, beats=4.3)
    beats = [ed for ed, _ in found(pulse(beat, contraction=contraction))]
    assert beats == pytest.approx([100, 150, 200], abs=2)


def test_noise_and_a_steady_slide_have_no_beat():
    rng = np.random.default_rng(2)
    still = [motion_of(0.02 * rng.standard_normal((2, 12, 16))) for _ in range(200)]
    assert found(still) == []
    slide = [motion_of(np.full((2, 12, 16), 0.5))] * 200
    assert found(slide) == []


def test_a_heart_that_changes_is_learnt_again():
    first = list(pulse(Beat(frame_rate_hz=50.0, beats=4.0), contraction=(-6.0, 0.0)))
    still = [motion_of(np.zeros((2, 12, 16)))] * 200
    other = list(pulse(Beat(frame_rate_hz=50.0, beats=5.0), contraction=(0.0, -6.0)))
    beats = [ed for ed, _ in found([*first, *still, *other])]
    assert len([ed for ed in beats if ed > len(first) + len(still)]) >= 2


def test_the_memory_is_bounded_and_the_finder_unchanged():
    finder = BeatFinder()
    motion = motion_of(np.full((2, 12, 16), 0.01))
    finder.observe(motion)
    assert len(finder.path) == 1
    for _ in range(600):
        finder, _ = finder.observe(motion)
    assert len(finder.path) == 512
