"""The label-free quality of a frame's motion."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.quality import forward_backward_px, frame_quality
from cineflow.phantom import Beat, ShortAxisPhantom


@pytest.fixture(scope="module")
def phantom() -> ShortAxisPhantom:
    return ShortAxisPhantom(11, size=(128, 128), beat=Beat(beats=0.2))


def test_true_flow_beats_every_wrong_one(phantom: ShortAxisPhantom) -> None:
    a, b = phantom.frames[4], phantom.frames[5]
    truth, wall = phantom.flow(4, 5), phantom.myocardium(4)
    right = frame_quality(a, b, truth, wall)
    wrong = [frame_quality(a, b, truth + step, wall) for step in (0.5, 1.0, 2.0, 4.0)]
    assert 1.0 >= right > 0.7
    assert right > wrong[0] > wrong[1] > wrong[2] > wrong[3]


def test_equal_frames_are_perfect(phantom: ShortAxisPhantom) -> None:
    still = np.zeros((2, 128, 128), np.float32)
    assert frame_quality(phantom.frames[0], phantom.frames[0], still) == pytest.approx(1.0)


def test_brightness_alone_is_no_agreement() -> None:
    rng = np.random.default_rng(0)
    shade = np.linspace(0, 100, 128)[None] * np.ones((128, 1))
    a, b = (shade + rng.normal(0, 5, (128, 128)) for _ in range(2))
    still = np.zeros((2, 128, 128), np.float32)
    assert frame_quality(a.astype(np.float32), b.astype(np.float32), still) < 0.5


@pytest.mark.parametrize("level", [0, 77])
def test_no_texture_supports_nothing(level: int) -> None:
    flat = np.full((64, 48), level, np.uint8)
    assert frame_quality(flat, flat, np.zeros((2, 64, 48), np.float32)) == 0.0


def test_sizes_that_are_no_multiple_of_the_block(phantom: ShortAxisPhantom) -> None:
    a = phantom.frames[4][:75, :101]
    assert frame_quality(a, a, np.zeros((2, 75, 101), np.float32)) == pytest.approx(1.0)


def test_bad_input_is_named(phantom: ShortAxisPhantom) -> None:
    a, still = phantom.frames[0], np.zeros((2, 128, 128), np.float32)
    with pytest.raises(ArgumentError, match="current"):
        frame_quality(a, a[:64], still)
    with pytest.raises(ArgumentError, match="at least one"):
        frame_quality(a, a, still, np.zeros((128, 128), bool))
    with pytest.raises(ArgumentError, match="NaN"):
        frame_quality(a, a, still * np.nan)


def test_there_and_back_is_zero_for_an_inverse(phantom: ShortAxisPhantom) -> None:
    wall = phantom.myocardium(4)
    there, back = phantom.flow(4, 7), phantom.flow(7, 4)
    assert forward_backward_px(there, back, wall) < 0.02
    assert forward_backward_px(there, back + np.float32(1.0), wall) == pytest.approx(
        np.sqrt(2), abs=0.02
    )
    with pytest.raises(ArgumentError, match="at least one"):
        forward_backward_px(there, back, wall & ~wall)
