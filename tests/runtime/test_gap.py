"""Frames that were lost: motion is tracked across a few, and begins anew after many."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.engine import Engine
from cineflow.runtime.stream import Stream
from cineflow.served import MOST_LOST_FRAMES, Cause


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("lucas_kanade")


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return open_engine(bundle)


@pytest.mark.parametrize("lost", [1, MOST_LOST_FRAMES])
def test_a_short_gap_is_tracked_across_and_stated(
    bundle: Bundle, engine: Engine, moving_frames: np.ndarray, lost: int
) -> None:
    stream = Stream(engine, bundle.spec)
    assert stream.push(moving_frames[0], index=5).gap_frames == 0
    result = stream.push(moving_frames[1], index=6 + lost)
    assert (result.previous, result.gap_frames, result.re_referenced) == (5, lost, False)
    assert result.reference == 5
    assert result.flow is not None
    assert np.abs(result.flow).max() > 0.5
    after = stream.push(moving_frames[2])
    assert (after.gap_frames, after.re_referenced) == (0, False)


@pytest.mark.parametrize("triggers", [False, True])
def test_after_a_long_gap_the_stream_begins_anew(
    bundle: Bundle, engine: Engine, moving_frames: np.ndarray, triggers: bool
) -> None:
    """The next results are those of a new stream, but for the numbers of frame and beat."""
    stream, fresh = Stream(engine, bundle.spec), Stream(engine, bundle.spec)
    beats = [True, False, False] if triggers else [None] * 3
    for frame, beat in zip(moving_frames[:3], beats, strict=True):
        stream.push(frame, beat=beat)
    index = 3 + MOST_LOST_FRAMES + 1
    for k, frame in enumerate(moving_frames[5:8]):
        number = index + k
        beat = False if triggers else None
        there, here = stream.push(frame, number, beat=beat), fresh.push(frame, beat=beat)
        assert (there.gap_frames, there.re_referenced) == (
            (MOST_LOST_FRAMES + 1, True) if k == 0 else (0, False)
        )
        assert there.reference == index
        assert there.previous == (number if k == 0 else number - 1)
        np.testing.assert_array_equal(there.flow, here.flow)
        np.testing.assert_array_equal(there.displacement, here.displacement)
        assert there.quality_parts == here.quality_parts
        assert there.beat_info is not None
        assert (there.beat_info.number, there.beat_info.cause) == (1, Cause.GAP)
    state = stream.state()
    assert state is not None
    assert state.track is not None
    assert (state.track.finder is None) == triggers


def test_a_trigger_after_a_gap_is_the_cause(
    bundle: Bundle, engine: Engine, moving_frames: np.ndarray
) -> None:
    stream = Stream(engine, bundle.spec)
    stream.push(moving_frames[0], beat=False)
    result = stream.push(moving_frames[1], 100, beat=True)
    assert result.re_referenced
    assert result.beat_info is not None
    assert result.beat_info.cause is Cause.TRIGGER


def test_how_many_frames_may_be_lost_is_an_argument(
    bundle: Bundle, engine: Engine, moving_frames: np.ndarray
) -> None:
    stream = Stream(engine, bundle.spec, most_lost=0)
    stream.push(moving_frames[0])
    assert stream.push(moving_frames[1], index=2).re_referenced
