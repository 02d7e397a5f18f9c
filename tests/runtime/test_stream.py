"""Stream: composition, bookkeeping, and a state that survives everything but good frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cineflow.errors import EngineError, FrameError, SpecError
from cineflow.motion.finder import BeatFinder
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.spec import Axis, ModelSpec, TensorSpec

SIDE = Axis("height", 16, 64, 16), Axis("width", 16, 64, 16)
SPEC = ModelSpec(
    name="shift",
    summary="Says that everything moves by `step` px, and counts its calls in a state.",
    inputs=(
        TensorSpec("previous", "float32", (1, 1, *SIDE), "grey level"),
        TensorSpec("current", "float32", (1, 1, *SIDE), "grey level"),
    ),
    outputs=(TensorSpec("flow", "float32", (1, 2, *SIDE), "px"),),
    states=(TensorSpec("calls", "float32", (1, *SIDE), "1"),),
)


class Shift:
    """An engine whose flow is a constant."""

    name = "shift"
    kernels = "none"
    model = "shift"

    def __init__(self, step=(1.0, -0.5)) -> None:
        self.step = step
        self.fails = False

    def run(self, inputs):
        if self.fails:
            raise EngineError("shift to run", "a failure")
        self.seen = {name: value.copy() for name, value in inputs.items()}
        flow = np.ones_like(inputs["current"]) * np.float32(self.step)[None, :, None, None]
        return {"flow": flow, "calls_out": inputs["calls_in"] + 1}


def changed(state, path: str, value):
    """`state` with another value at "feed.last", "track.motion.flow", ..."""
    name, _, rest = path.partition(".")
    return replace(state, **{name: changed(getattr(state, name), rest, value) if rest else value})


def frame(level: int, size=(32, 48)) -> np.ndarray:
    return np.full(size, level, np.uint8)


def test_the_first_frame_moves_nothing():
    result = Stream(Shift(), SPEC).push(frame(9))
    assert (result.previous, result.current, result.reference, result.beat) == (0, 0, 0, 0)
    assert result.quality == 1.0
    assert not result.flow.any()
    assert not result.displacement.any()


def test_pairs_follow_each_other_and_displacement_composes():
    engine = Shift()
    stream = Stream(engine, SPEC)
    results = [stream.push(frame(level)) for level in (10, 20, 30, 40)]
    assert [(r.previous, r.current) for r in results] == [(0, 0), (0, 1), (1, 2), (2, 3)]
    assert engine.seen["previous"][0, 0, 0, 0] == 30
    assert engine.seen["current"][0, 0, 0, 0] == 40
    assert engine.seen["calls_in"].max() == 2  # the model's own state came back
    middle = results[-1].displacement[:, 16, 24]
    np.testing.assert_allclose(middle, (3.0, -1.5), atol=1e-6)
    np.testing.assert_allclose(results[-1].flow[:, 0, 0], (1.0, -0.5))


def test_a_beat_makes_its_frame_the_reference():
    stream = Stream(Shift(), SPEC)
    stream.push(frame(1))
    stream.push(frame(2))
    renewed = stream.push(frame(3), beat=True)
    assert (renewed.previous, renewed.reference, renewed.beat) == (1, 2, 1)
    assert renewed.flow.any()
    assert not renewed.displacement.any()
    after = stream.push(frame(4))
    assert (after.reference, after.beat) == (2, 1)
    np.testing.assert_allclose(after.displacement[:, 16, 24], (1.0, -0.5), atol=1e-6)


def test_dropped_frames_leave_a_gap_in_the_pair():
    stream = Stream(Shift(), SPEC)
    stream.push(frame(1), index=100)
    result = stream.push(frame(2), index=107)
    assert (result.previous, result.current, result.reference) == (100, 107, 100)
    assert stream.push(frame(3)).current == 108


def test_lost_frames_are_part_of_the_change_over_time():
    texture = np.random.default_rng(0).integers(20, 200, (32, 48), np.uint8)
    stream = Stream(Shift(), SPEC)
    for index in (0, 1):
        stream.push(texture, index=index)
    assert stream.push(texture, index=2).quality_parts.temporal_px == pytest.approx(0.0)
    # the same step, but after six frames were lost: a seventh of the speed
    after = stream.push(texture, index=9).quality_parts.temporal_px
    assert after == pytest.approx(6 * np.hypot(1.0, 0.5), rel=1e-4)


BAD = {
    "as the frames before": (frame(1, (16, 48)), None),
    "NaN": (np.full((32, 48), np.nan, np.float32), None),
    "1 NaN or infinite": (
        np.where(np.arange(48) + 48 * np.arange(32)[:, None], 1, np.inf).astype(np.float32),
        None,
    ),
    r"uint8 or float32 \[H, W\]": (np.zeros((32, 48)), None),
    r"\[1, 32, 48\]": (np.zeros((1, 32, 48), np.uint8), None),
    "above 1": (frame(1), 1),
    "got list": ([[1, 2], [3, 4]], None),
    "a whole frame index from 0 to 4611686018427387904; got nan": (frame(1), float("nan")),
    "a whole frame index .*; got 1.9": (frame(1), 1.9),
    "a whole frame index .*; got '7'": (frame(1), "7"),
    "a whole frame index .*; got True": (frame(1), True),
    "a whole frame index .*; got 9223372036854775807": (frame(1), 2**63 - 1),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_frame_is_refused_and_nothing_moves(reason):
    stream = Stream(Shift(), SPEC)
    for level in (1, 2):
        stream.push(frame(level))
    before = stream.state()
    with pytest.raises(FrameError, match=reason):
        stream.push(*BAD[reason])
    assert stream.state() is before
    assert stream.push(frame(3)).previous == 1


@pytest.mark.parametrize(("size", "side"), [((24, 48), "height"), ((32, 80), "width")])
def test_sizes_that_the_model_does_not_take(size, side):
    with pytest.raises(FrameError, match=f"a {side} of 16..64 by 16"):
        Stream(Shift(), SPEC).push(frame(1, size))


def test_a_failing_engine_leaves_the_state_alone():
    engine = Shift()
    stream = Stream(engine, SPEC)
    stream.push(frame(1))
    before = stream.state()
    engine.fails = True
    with pytest.raises(EngineError):
        stream.push(frame(2))
    assert stream.state() is before


def test_the_caller_may_reuse_its_memory():
    engine = Shift()
    stream = Stream(engine, SPEC)
    slot = np.full((32, 48), 5, np.float32)
    stream.push(slot)
    slot[:] = 6
    stream.push(slot)
    assert engine.seen["previous"].max() == 5


def test_the_state_carries_a_stream_to_another_engine(moving_frames):
    bundle = Bundle.load("lucas_kanade")
    whole = Stream(open_engine(bundle), bundle.spec)
    expected = [whole.push(image) for image in moving_frames][-1]

    first = Stream(open_engine(bundle), bundle.spec)
    for image in moving_frames[:6]:
        first.push(image)
    second = Stream(open_engine(bundle), bundle.spec, first.state())
    got = [second.push(image) for image in moving_frames[6:]][-1]
    np.testing.assert_array_equal(got.displacement, expected.displacement)
    assert (got.previous, got.current, got.reference) == (10, 11, 0)
    # ... and what it measured is the motion of the texture, (1, 0.5) px per frame.
    inside = (slice(None), slice(32, 96), slice(32, 112))
    np.testing.assert_allclose(expected.displacement[inside].mean((1, 2)), (11.0, 5.5), atol=0.3)
    assert expected.quality > 0.9


def test_a_state_that_is_none():
    with pytest.raises(SpecError, match="a StreamState; got dict"):
        Stream(Shift(), SPEC, {"frame": frame(1)})


def test_the_state_of_another_model_is_refused():
    stream = Stream(Shift(), SPEC)
    stream.push(frame(1))
    other = Shift()
    other.model = "shift-89abcdef"
    with pytest.raises(SpecError, match="state of shift-89abcdef; got one of shift"):
        Stream(other, SPEC, stream.state())
    assert Stream(Shift(), SPEC, stream.state()).push(frame(2)).previous == 0


def test_a_state_names_the_graph_by_its_hash():
    bundle = Bundle.load("lucas_kanade")
    assert Stream(open_engine(bundle), bundle.spec).model == bundle.served_name


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("feed.last", np.zeros((7, 16), np.float32), "a height of 16..64 by 16 pixels.*; got 7"),
        ("feed.last", np.zeros(16, np.float32), r"a frame of 2 axes; got \[16\]"),
        ("feed.last", frame(1), "the last frame of a state as .*float32.*; got .*uint8"),
        ("feed.reference", np.zeros((32, 48), np.float32), "a state without one"),
        ("feed.window", (np.zeros((32, 48), np.float32),), "at most 0 frames of a window; got 1"),
        ("given", {"points": np.zeros(2)}, r"the given inputs \[\]; got \['points'\]"),
        ("track.displacement", np.zeros((2, 8, 8), np.float32), "displacement of a state"),
        ("track.displacement", np.zeros((2, 32, 48)), "got .*float64"),
        ("track.displacement", np.full((2, 32, 48), np.nan, np.float32), "finite values in displ"),
        ("tensors", {"calls": np.zeros((3, 3), np.float32)}, "in a state, calls: float32"),
        ("index", None, "a whole index of 0 or more; got None"),
        ("track.reference", -1, "a whole reference"),
        ("track.finder", BeatFinder(np.full((3, 10), np.nan)), "finite values in path"),
        ("track.finder", BeatFinder(np.zeros((3, 9))), "path of a state"),
        ("track.motion.frames", 0, "a whole number of frames of 1 or more; got 0"),
        ("track.motion.flow", np.full((2, 2, 3), np.nan, np.float32), "finite values in flow"),
        ("track.motion.tissue", np.full((2, 3), np.nan), "finite values in tissue"),
        ("track.motion.grey", np.zeros((2, 2)), r"grey of a state as .*\[2, 3\].*; got .*\[2, 2\]"),
    ],
)
def test_a_state_whose_arrays_do_not_fit_is_refused(path, value, message):
    stream = Stream(Shift(), SPEC)
    stream.push(frame(1))
    stream.push(frame(2))
    Stream(Shift(), SPEC, stream.state())
    with pytest.raises(SpecError, match=message):
        Stream(Shift(), SPEC, changed(stream.state(), path, value))


@pytest.mark.parametrize("beat", [float("nan"), "yes", 2, 1, 0, []])
def test_a_beat_that_is_neither_true_nor_false_is_refused(beat):
    stream = Stream(Shift(), SPEC)
    stream.push(frame(1))
    before = stream.state()
    with pytest.raises(FrameError, match="a beat of True, False or None"):
        stream.push(frame(2), beat=beat)
    assert stream.state() is before
    assert stream.push(frame(2), beat=np.True_).beat == 1


def test_a_state_without_the_models_own_tensors_is_refused():
    stream = Stream(Shift(), SPEC)
    stream.push(frame(1))
    Stream(Shift(), SPEC, stream.state())  # before its first pair a model has none
    stream.push(frame(2))
    with pytest.raises(SpecError, match=r"\['calls'\]; got \[\]"):
        Stream(Shift(), SPEC, replace(stream.state(), tensors={}))


def test_a_time_that_is_no_number():
    with pytest.raises(FrameError, match="a finite time_ms; got '5'"):
        Stream(Shift(), SPEC).push(frame(1), time_ms="5")


def test_a_model_of_another_kind():
    wrong = ModelSpec("wrong", "One image in.", SPEC.inputs[:1], SPEC.outputs)
    with pytest.raises(
        SpecError, match="a model that takes a stream of frames; got wrong, whose feed is a call"
    ):
        Stream(Shift(), wrong)
