"""The label-free quality of a frame's motion."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.quality import assess, halved
from cineflow.motion.quality_rule import (
    SUSPECT_PX,
    WITH_BACKWARD,
    WITHOUT_BACKWARD,
    Parts,
    expected_error_px,
    index_of,
)
from cineflow.phantom import Beat, ShortAxisPhantom
from cineflow.served import Quality

STILL = np.zeros((2, 128, 128), np.float32)


@pytest.fixture(scope="module")
def phantom() -> ShortAxisPhantom:
    return ShortAxisPhantom(11, size=(128, 128), beat=Beat(beats=0.2))


def quality(*pair: np.ndarray, **settings) -> Quality:
    return assess(*pair, **settings)[0]


def test_true_flow_beats_every_wrong_one(phantom: ShortAxisPhantom) -> None:
    a, b = phantom.frames[4], phantom.frames[5]
    truth, wall = phantom.flow(4, 5), phantom.myocardium(4)
    right = quality(a, b, truth, mask=wall)
    wrong = [quality(a, b, truth + step, mask=wall) for step in (0.5, 1.0, 2.0)]
    found = [right, *wrong]
    for one, worse in pairwise(found):
        assert one.index > worse.index
        assert one.expected_error_px < worse.expected_error_px
        assert one.photometric_px < worse.photometric_px
        assert one.correlation > worse.correlation
    assert right.correlation > 0.6


def test_equal_frames_are_perfect(phantom: ShortAxisPhantom) -> None:
    same = quality(phantom.frames[0], phantom.frames[0], STILL)
    assert same.index > 0.99
    assert same.correlation == pytest.approx(1.0, abs=1e-5)
    assert same.deformation == same.folding_percent == 0.0


def test_equal_brightness_is_not_agreement() -> None:
    rng = np.random.default_rng(0)
    shade = np.linspace(0, 100, 128)[None] * np.ones((128, 1))
    a, b = (np.clip(shade + rng.normal(0, 20, (128, 128)), 0, 255) for _ in range(2))
    a, b = a.astype(np.float32), b.astype(np.float32)
    unlike, same = quality(a, b, STILL), quality(a, a, STILL)
    assert abs(unlike.correlation) < 0.2 < 0.99 < same.correlation
    assert unlike.index < 0.5 < 0.99 < same.index


@pytest.mark.parametrize("level", [0, 77])
def test_no_texture_supports_nothing(level: int) -> None:
    flat = np.full((64, 48), level, np.uint8)
    found = quality(flat, flat, np.zeros((2, 64, 48), np.float32))
    assert found.index == 0.0
    assert math.isinf(found.expected_error_px)
    # nothing was measured, so the parts must not look perfect
    measured = (found.correlation, found.photometric_px, found.deformation, found.folding_percent)
    assert np.isnan(measured).all()


def test_the_photometric_part_is_the_cramer_rao_bound() -> None:
    """Noise of variance v on both frames of an oblique texture: sqrt(2 v tr(G^-1)).

    For a wave a sin(k (x + y)) every entry of G is (a k)^2 / 2. Along x - y the entry xy is
    negative.
    """
    y, x = np.mgrid[:128, :128]
    steep, weak, k, noise = 40.0, 15.0, 2 * np.pi / 16, 4.0
    texture = 128 + steep * np.sin(k * (x + y)) + weak * np.sin(k * (x - y))
    rng = np.random.default_rng(1)
    a, b = (texture + rng.normal(0, noise, texture.shape) for _ in range(2))
    found = quality(a.astype(np.float32), b.astype(np.float32), STILL)
    # The central difference of a sine with step k has the factor sin(k), and half the noise of the
    # frames' mean. The part adds 1 (grey level / px)^2 to the diagonal so that G has an inverse.
    same = (steep**2 + weak**2) * np.sin(k) ** 2 / 2 + noise**2 / 4 + 1.0
    cross = (steep**2 - weak**2) * np.sin(k) ** 2 / 2
    inverse = np.linalg.inv([[same, cross], [cross, same]])
    assert found.photometric_px == pytest.approx(np.sqrt(2 * noise**2 * np.trace(inverse)), rel=0.1)


def test_deformation_is_the_gradient_of_the_flow(phantom: ShortAxisPhantom) -> None:
    y, x = np.mgrid[:128, :128].astype(np.float32) - 64
    frame = phantom.frames[0]
    stretched = np.stack([0.03 * x, -0.04 * y])
    assert quality(frame, frame, stretched).deformation == pytest.approx(0.05, rel=1e-4)
    turned_over = np.stack([-1.5 * x, 0 * y])
    assert quality(frame, frame, turned_over).folding_percent == pytest.approx(100.0)


def test_a_steady_motion_is_consistent_over_lost_frames(phantom: ShortAxisPhantom) -> None:
    frame, step = phantom.frames[0], STILL + np.float32([[[1.0]], [[0.5]]])
    _, before = assess(frame, frame, step)
    assert quality(frame, frame, 3 * step, before=before, frames=3).temporal_px == pytest.approx(0)
    jump = quality(frame, frame, 3 * step, before=before, frames=1).temporal_px
    assert jump == pytest.approx(2 * np.hypot(1, 0.5))
    assert quality(frame, frame, step).temporal_px is None


def test_a_shadow_shows_as_a_change_and_takes_support_away(phantom: ShortAxisPhantom) -> None:
    frame = phantom.frames[0]
    first, before = assess(frame, frame, STILL)
    assert first.appearance is None
    steady = quality(frame, frame, STILL, before=before)
    assert steady.appearance == pytest.approx(0.0, abs=1e-4)
    dark = frame.copy()
    dark[:, 56:] = 0
    shadowed = quality(dark, dark, STILL, before=before)
    assert shadowed.appearance > 20.0
    assert shadowed.photometric_px > 5.0 * steady.photometric_px
    assert shadowed.index < 0.5 < steady.index
    assert quality(frame, dark, STILL, before=before).appearance > 20.0  # also in the later frame
    assert quality(dark, dark, STILL).index > 0.9  # without a memory the tissue is not missed


def test_the_way_back_of_an_exact_motion_leads_home(phantom: ShortAxisPhantom) -> None:
    there, back = phantom.flow(4, 7), phantom.flow(7, 4)
    pair = phantom.frames[4], phantom.frames[7]
    found = [quality(*pair, there, backward=back + np.float32(off)) for off in (0.0, 1.0)]
    assert found[0].forward_backward_px < 0.1
    assert found[1].forward_backward_px == pytest.approx(np.sqrt(2), abs=0.1)


def test_the_way_back_at_full_and_at_half_size(phantom: ShortAxisPhantom) -> None:
    # the tissue lies in the middle, so it does not leave the picture
    frame, there = np.zeros((128, 128), np.uint8), STILL + np.float32([[[2.0]], [[-1.0]]])
    frame[32:96, 32:96] = phantom.frames[0][32:96, 32:96]
    half = np.zeros((2, 64, 64), np.float32)
    for back, scale in ((STILL, 1.0), (half, 2.0)):
        home = back - np.float32([[[2.0]], [[-1.0]]]) / np.float32(scale)
        astray = home + np.float32(0.5 / scale)
        found = [
            quality(frame, frame, there, backward=way).forward_backward_px for way in (home, astray)
        ]
        assert found == pytest.approx([0.0, 0.5 * np.sqrt(2)], abs=1e-5)
    assert quality(frame, frame, there).forward_backward_px is None
    np.testing.assert_array_equal(halved(np.float32([[1, 3], [5, 7]])), [[4.0]])


def test_sizes_that_are_not_a_multiple_of_the_block(phantom: ShortAxisPhantom) -> None:
    a = phantom.frames[4][:75, :101]
    assert quality(a, a, np.zeros((2, 75, 101), np.float32)).index > 0.99


def test_the_first_frame_is_not_in_doubt() -> None:
    first = Quality.untracked()
    assert (first.index, first.expected_error_px, first.temporal_px) == (1.0, 0.0, None)


def test_a_worse_part_never_lowers_the_expected_error() -> None:
    for back in (None, 0.2):
        base = Parts(2.0, 0.8, 0.03, 9.0, 0.2, back)
        error = expected_error_px(base)
        worse = [
            Parts(3.0, 0.8, 0.03, 9.0, 0.2, back),
            Parts(2.0, 0.5, 0.03, 9.0, 0.2, back),
            Parts(2.0, 0.8, 0.06, 9.0, 0.2, back),
            Parts(2.0, 0.8, 0.03, 30.0, 0.2, back),
            Parts(2.0, 0.8, 0.03, 9.0, 0.9, back),
        ]
        assert all(expected_error_px(parts) >= error for parts in worse)
        assert expected_error_px(worse[0]) > error  # and a worse photometric part does raise it
    assert min(*WITHOUT_BACKWARD.weights, *WITH_BACKWARD.weights) >= 0.0
    assert expected_error_px(Parts(2.0, 0.8, 0.03)) > 0.0  # a first pair has no change over time


def test_the_index_maps_the_error_to_one_half_at_the_threshold() -> None:
    assert index_of(0.0) == 1.0
    assert index_of(SUSPECT_PX) == pytest.approx(0.5)
    assert index_of(math.inf) == 0.0


def test_bad_input_is_named(phantom: ShortAxisPhantom) -> None:
    a = phantom.frames[0]
    with pytest.raises(ArgumentError, match="current"):
        assess(a, a[:64], STILL)
    for pair in ((a, a * np.float32(np.nan)), (np.where(a > 90, np.inf, a), a)):
        with pytest.raises(ArgumentError, match="finite"):
            assess(*pair, STILL)
    with pytest.raises(ArgumentError, match="at least one"):
        assess(a, a, STILL, mask=np.zeros((128, 128), bool))
    with pytest.raises(ArgumentError, match="NaN"):
        assess(a, a, STILL * np.nan)
    with pytest.raises(ArgumentError, match="backward"):
        assess(a, a, STILL, backward=STILL * np.nan)
    with pytest.raises(ArgumentError, match="half that size"):
        assess(a, a, STILL, backward=STILL[:, :100])
    with pytest.raises(ArgumentError, match="frames >= 1"):
        assess(a, a, STILL, frames=0)
    _, other = assess(a[:64], a[:64], STILL[:, :64])
    with pytest.raises(ArgumentError, match="flow"):
        assess(a, a, STILL, before=other)
