"""Beats in a stream: a trigger counts at once, end-diastole is found in the motion later."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from cineflow.errors import EngineError, FrameError, SpecError
from cineflow.motion.compose import compose_all
from cineflow.phantom import Beat
from cineflow.runtime.stream import Cause, Stream
from cineflow.served import Rhythm
from cineflow.spec import Axis, ModelSpec, TensorSpec

SIDE = Axis("height", 16, 128, 16), Axis("width", 16, 128, 16)
SPEC = ModelSpec(
    name="pulse",
    summary="The flow of a heart whose beats are known.",
    inputs=(
        TensorSpec("previous", "float32", (1, 1, *SIDE), "grey level"),
        TensorSpec("current", "float32", (1, 1, *SIDE), "grey level"),
    ),
    outputs=(TensorSpec("flow", "float32", (1, 2, *SIDE), "px"),),
)
BEAT = Beat(heart_rate_bpm=75.0, frame_rate_hz=40.0, beats=5.4)  # 32 frames each
TEXTURE = np.random.default_rng(5).integers(40, 200, (96, 128), np.uint8)


class Pulse:
    """Contraction towards the middle by 15 %, by the beat's own curve."""

    name = "pulse"
    kernels = "none"
    model = "pulse"

    def __init__(self, beat: Beat = BEAT) -> None:
        self.radius = [1.0 - 0.15 * beat.activation(k) for k in range(beat.frames)]
        self.sizes: list[tuple[int, ...]] = []

    def run(self, inputs):
        first, last = (number(inputs[name][0, 0]) for name in ("previous", "current"))
        self.sizes.append(inputs["current"].shape[-2:])
        rows, columns = self.sizes[-1]
        y, x = np.mgrid[:rows, :columns] - np.array([rows / 2, columns / 2])[:, None, None]
        growth = self.radius[last] / self.radius[first] - 1.0
        return {"flow": np.stack([growth * x, growth * y]).astype(np.float32)[None]}


def picture(index: int) -> np.ndarray:
    """A frame with its number in the first pixels, which can be read also at half the size."""
    frame = TEXTURE.copy()
    frame[:2, :4] = index
    return frame


def number(frame: np.ndarray) -> int:
    return int(frame[0, 0])


@pytest.fixture(scope="module")
def whole() -> tuple[Stream, list]:
    """A stream over every frame, and its results."""
    return stream_of()


def stream_of(count: int = BEAT.frames, engine=None, **settings) -> tuple[Stream, list]:
    stream = Stream(engine or Pulse(), SPEC, **settings)
    return stream, [stream.push(picture(k)) for k in range(count)]


def test_end_diastole_found_in_the_motion_renews_the_reference(whole):
    _, results = whole
    renewed = [
        (r.reference, r.current) for r, before in zip(results[1:], results, strict=False)
        if r.reference != before.reference
    ]  # fmt: skip
    assert [reference for reference, _ in renewed] == [64, 96, 128, 160]
    assert all(0 < now - reference <= 8 for reference, now in renewed)
    last = results[-1].beat_info
    assert (last.cause, last.number, last.rhythm) == (Cause.MOTION, 4, Rhythm.REGULAR)
    for reference, now in renewed:
        assert results[now].beat_info.delay_frames == now - reference
        assert results[now - 1].beat_info.number == results[now].beat_info.number - 1


def test_the_renewed_displacement_is_that_since_the_found_frame():
    _, results = stream_of(104)
    flows = [result.flow for result in results]
    now, reference = results[103], results[103].reference
    assert reference == 96
    expected = compose_all(flows[reference + 1 :])[-1]
    np.testing.assert_array_equal(now.displacement, expected)


def test_a_trigger_renews_at_once_and_ends_the_search():
    stream, _ = stream_of(40)
    triggered = stream.push(picture(40), beat=True)
    assert triggered.beat_info.cause is Cause.TRIGGER
    assert (triggered.reference, triggered.beat_info.delay_frames) == (40, 0)
    assert not triggered.displacement.any()
    results = [stream.push(picture(k), beat=False) for k in range(41, BEAT.frames)]
    assert {r.reference for r in results} == {40}
    assert stream.state().track.finder is None
    # ... also for later frames without `beat`
    assert stream.push(picture(BEAT.frames - 1)).beat_info.cause is Cause.TRIGGER


def triggered(frames, end, period_ms=25.0):
    """Every result of a stream with R waves at `frames`, by frame number."""
    stream = Stream(Pulse(), SPEC)
    return [stream.push(picture(k), beat=k in frames, time_ms=period_ms * k) for k in range(end)]


def test_drift_is_reported_per_beat():
    results = triggered({0, 32, 64, 96}, 100)
    assert results[31].beat_info.drift_px is None  # no beat has ended yet
    for k in (32, 64, 96):
        # the heart is back, and exact flows compose almost without error
        assert results[k].beat_info.drift_px == pytest.approx(0.0, abs=0.01)
    stream, at_systole = Stream(Pulse(), SPEC), 11
    for k in range(at_systole):
        stream.push(picture(k), beat=k == 0)
    late = stream.push(picture(at_systole), beat=True).beat_info.drift_px
    y, x = np.mgrid[8:96:16, 8:128:16] - np.array([48, 64])[:, None, None]
    shrunk = 1.0 - Pulse().radius[at_systole]
    assert late == pytest.approx(shrunk * np.hypot(x, y).mean(), rel=0.1)


def test_ectopic_and_missed_triggers_are_reported_without_drift():
    results = triggered({0, 32, 64, 96, 112}, 160)
    assert results[96].beat_info.rhythm is Rhythm.REGULAR
    early = results[112].beat_info
    assert (early.rhythm, early.drift_px, early.number) == (Rhythm.EARLY, None, 4)
    # 112 was the last trigger: every frame later than 20 % after the next due time is LATE
    assert [r.beat_info.rhythm for r in results[149:152]] == [
        Rhythm.EARLY, Rhythm.EARLY, Rhythm.LATE,
    ]  # fmt: skip
    assert (results[-1].reference, results[-1].beat_info.rhythm) == (112, Rhythm.LATE)


def test_triggers_without_times_are_judged_in_frames():
    stream = Stream(Pulse(), SPEC)
    found = [stream.push(picture(k), beat=k in (0, 30, 60, 90, 100)) for k in range(101)]
    assert found[90].beat_info.rhythm is Rhythm.REGULAR
    assert found[100].beat_info.rhythm is Rhythm.EARLY


@pytest.mark.parametrize(
    ("beat", "count"),
    [(False, 120), (None, 120), pytest.param(None, 480, marks=pytest.mark.slow)],
)
def test_no_beat_at_all_is_late_where_times_are_known(beat, count):
    """Triggers that never come, and a picture that does not move: 3 s or 12 s at 40 frames/s."""
    still = Pulse(Beat(heart_rate_bpm=75.0, frame_rate_hz=40.0, beats=0.1))
    for times, last in ((True, Rhythm.LATE), (False, Rhythm.UNKNOWN)):
        stream = Stream(still, SPEC)
        results = [
            stream.push(picture(0), beat=beat, time_ms=25.0 * k if times else None)
            for k in range(count)
        ]
        assert results[80].beat_info.rhythm is Rhythm.UNKNOWN  # 2 s, 30 beats per minute
        assert {r.beat_info.rhythm for r in results[81:]} == {last}
        assert results[-1].beat_info.cause is Cause.START
        assert results[-1].beat_info.drift_px is None


def test_less_than_a_beat_keeps_its_first_frame_as_reference():
    _, results = stream_of(24)
    assert {r.reference for r in results} == {0}
    assert {r.beat_info.cause for r in results} == {Cause.START}
    assert results[-1].beat_info.drift_px is None


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((0.0, None), "a time for every frame"),
        ((None, 25.0), "a time for every frame"),
        ((0.0, 0.0), "above 0 ms"),
        ((30.0, 5.0), "above 30 ms"),
        ((0.0, np.nan), "finite time_ms"),
    ],
)
def test_times_out_of_order_are_refused_and_nothing_moves(times, message):
    stream = Stream(Pulse(), SPEC)
    stream.push(picture(0), time_ms=times[0])
    before = stream.state()
    with pytest.raises(FrameError, match=message):
        stream.push(picture(1), time_ms=times[1])
    assert stream.state() is before


def test_a_flow_that_is_not_finite_is_the_engines_error():
    class Broken(Pulse):
        def run(self, inputs):
            return {"flow": super().run(inputs)["flow"] * np.nan}

    stream = Stream(Broken(), SPEC)
    stream.push(picture(0))
    before = stream.state()
    with pytest.raises(EngineError, match="a finite flow"):
        stream.push(picture(1))
    assert stream.state() is before


def equal(a, b) -> bool:
    """Whether two states are equal bit for bit, nested arrays included."""
    if is_dataclass(a):
        return type(a) is type(b) and all(
            equal(getattr(a, one.name), getattr(b, one.name)) for one in fields(a)
        )
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return a == b


@pytest.mark.parametrize(
    "cut", [50, 98, *(pytest.param(cut, marks=pytest.mark.slow) for cut in (1, 93, 130))]
)
def test_a_stream_continues_from_a_state_as_if_it_had_not_been_cut(cut, whole):
    """Cut while a beat is learned (1, 50), while there is a candidate (93, 98), after beats."""
    uncut, expected = whole
    first, _ = stream_of(cut)
    second = Stream(Pulse(), SPEC, first.state())
    results = [second.push(picture(k)) for k in range(cut, BEAT.frames)]
    for got, wanted in zip(results, expected[cut:], strict=True):
        np.testing.assert_array_equal(got.displacement, wanted.displacement)
        assert got.quality_parts == wanted.quality_parts
        assert got.beat_info == wanted.beat_info
    assert equal(second.state(), uncut.state())
    assert not equal(second.state(), first.state())


def test_backward_tracking_runs_at_half_size_and_is_reported():
    engine = Pulse()
    _, results = stream_of(4, engine, backward=True)
    assert engine.sizes == [(96, 128), (48, 64)] * 3
    assert results[-1].quality_parts.forward_backward_px == pytest.approx(0.0, abs=0.1)
    assert stream_of(4)[1][-1].quality_parts.forward_backward_px is None


def test_backward_tracking_runs_at_full_size_where_half_does_not_fit():
    engine = Pulse()
    stream = Stream(engine, SPEC, backward=True)
    for k in range(2):
        stream.push(np.ascontiguousarray(picture(k)[:80, :112]))
    assert engine.sizes == [(80, 112)] * 2


def test_a_model_with_a_state_cannot_run_backward():
    state = TensorSpec("memory", "float32", (1, *SIDE), "1")
    spec = ModelSpec("other", "With a memory.", SPEC.inputs, SPEC.outputs, (state,))
    with pytest.raises(SpecError, match="to be run backward; got other"):
        Stream(Pulse(), spec, backward=True)
