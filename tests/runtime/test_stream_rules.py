"""What a stream refuses before it runs, and what one frame hands to the next."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError, EngineError, FrameError, SpecError
from cineflow.runtime.checks import check_inputs
from cineflow.runtime.stream import Stream
from cineflow.runtime.streamable import require_streamable
from cineflow.spec import Axis, Feed, TensorSpec
from tests.runtime.test_kinds import H, Recorder, W, frame, image, mean, spec_of

COUNT = Axis("count", 1, 8)


def output(role: str = "", name: str = "out", unit: str = "px", shape=(1, 2, H, W), **more):
    return TensorSpec(name, "float32", shape, unit, tolerance=0.1, role=role, **more)


def memory(shape=(1,)) -> TensorSpec:
    return TensorSpec("memory", "float32", shape, "1")


PAIR = Feed("pair", ("a", "b"))
REFERENCE = Feed("reference", ("a", "b"))
WINDOW = Feed("window", ("a", "clip"), length=2, hop=2, time_axis=1)
TWO = [image("a"), image("b")]
REFERENCE_AND_CLIP = [image("a"), image("clip", (1, 2, 1, H, W))]


# --- what is refused before anything runs ---------------------------------------------------------


@pytest.mark.parametrize(
    ("feed", "inputs", "outputs", "states", "message"),
    [
        (REFERENCE, TWO, [output("flow")], [], "a flow from the previous frame"),
        (REFERENCE, TWO, [output("flow")], [memory()], "a flow from the previous frame"),
        (Feed("frame", ("a",)), [image("a")], [output("flow")], [], "a flow from the previous"),
        (Feed("frame", ("a",)), [image("a")], [output("displacement")], [], "a reference frame"),
        (PAIR, TWO, [output("displacement")], [], "a reference frame"),
        (PAIR, TWO, [output("points", shape=(1, 3, 2), unit="0..1")], [], "points in 'px'"),
        (PAIR, TWO, [output("points", "points", shape=(1, 3, 2))], [], "names of their own"),
        (PAIR, TWO, [output("flow", "displacement")], [], "names of their own"),
        (
            WINDOW, REFERENCE_AND_CLIP,
            [output("displacement", "displacement", shape=(1, 2, 2, H, W), time_axis=1)],
            [], "names of their own",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(feed, inputs, outputs, states, message) -> None:
    with pytest.raises(SpecError, match=message):
        require_streamable(spec_of(feed, inputs, outputs, states))


@pytest.mark.parametrize(
    ("feed", "inputs", "outputs", "states"),
    [
        (PAIR, TWO, [output("flow", "flow")], []),
        (Feed("frame", ("a",)), [image("a")], [output("flow")], [memory()]),
        (Feed("frame", ("a",)), [image("a")], [output("displacement")], [memory()]),
        (REFERENCE, TWO, [output("displacement", "displacement")], []),
        (
            WINDOW, REFERENCE_AND_CLIP,
            [output("displacement", shape=(1, 2, 2, H, W), time_axis=1)], [],
        ),
    ],
)  # fmt: skip
def test_what_can_be_read_is_taken(feed, inputs, outputs, states) -> None:
    require_streamable(spec_of(feed, inputs, outputs, states))


def test_a_frame_must_fit_an_axis_that_it_has_twice() -> None:
    side = Axis("side", 16, 64)
    spec = spec_of(Feed("frame", ("image",)), [image(shape=(1, 1, side, side))])
    stream = Stream(Recorder(mean("image")), spec)
    with pytest.raises(FrameError, match=r"width of 32 pixels, because side is 32.*got 48"):
        stream.push(frame(1, (32, 48)))
    assert stream.push(frame(1, (32, 32))).current == 0


def test_two_frame_inputs_share_their_axes() -> None:
    spec = spec_of(PAIR, [image("a"), image("b", (1, 1, H, W))])
    assert Stream(Recorder(mean("a", "b")), spec).push(frame(1)).current == 0


# --- the order of bytes ---------------------------------------------------------------------------


def test_frames_and_given_inputs_of_another_byte_order_are_converted() -> None:
    spec = spec_of(
        Feed("frame", ("image",), at_start=("marks",)),
        [image(), TensorSpec("marks", "float32", (2,), "px")],
    )
    engine = Recorder(mean("image"))
    marks = np.array([1, 2], ">f4")
    result = Stream(engine, spec).push(frame(7, dtype=np.dtype(">f4")), given={"marks": marks})
    assert result.outputs["level"].values[0] == 7
    assert engine.runs[0]["marks"].dtype.isnative
    assert engine.runs[0]["marks"].tolist() == [1, 2]


def test_an_engine_converts_them_also() -> None:
    tensor = TensorSpec("x", "float32", (2,), "1")
    native = np.array([1, 2], np.float32)
    assert check_inputs([tensor], {"x": native})["x"] is native
    found = check_inputs([tensor], {"x": native.astype(">f4")})["x"]
    assert found.dtype.isnative
    assert found.tolist() == [1, 2]
    with pytest.raises(ArgumentError, match="got float64"):
        check_inputs([tensor], {"x": native.astype(">f8")})


# --- what one frame hands to the next -------------------------------------------------------------


def counting(inputs):
    """An answer: how often the state was handed on."""
    return {"level": inputs["memory"] if "memory" in inputs else inputs["memory_in"].ravel()[:1],
            "memory_out": inputs["memory_in"] + 1}  # fmt: skip


@pytest.mark.parametrize("beat_at", [3, 4])
def test_a_new_reference_starts_the_state_anew_also_between_two_hops(beat_at: int) -> None:
    stream = Stream(Recorder(counting), spec_of(WINDOW, REFERENCE_AND_CLIP, states=[memory()]))
    results = [stream.push(frame(k + 1), beat=k == beat_at) for k in range(8)]
    assert [k for k, result in enumerate(results) if result.outputs] == [1, 3, 5, 7]
    found = {k: float(results[k].outputs["level"].values[0]) for k in (1, 3, 5, 7)}
    # beat 3 runs at once with a fresh state; beat 4 is heard before the run of frame 5
    assert found == ({1: 0, 3: 0, 5: 1, 7: 2} if beat_at == 3 else {1: 0, 3: 1, 5: 0, 7: 1})


def test_a_new_reference_between_two_hops_is_kept_in_the_state_that_is_taken_out() -> None:
    spec = spec_of(WINDOW, REFERENCE_AND_CLIP, states=[memory()])
    first = Stream(Recorder(counting), spec)
    for k in range(5):
        first.push(frame(k + 1), beat=k == 4)
    second = Stream(Recorder(counting), spec, first.state())
    assert second.push(frame(6), beat=False).outputs["level"].values[0] == 0


@pytest.mark.parametrize("feed", [PAIR, REFERENCE])
def test_a_state_may_have_the_size_of_what_was_given_at_the_start(feed: Feed) -> None:
    spec = spec_of(
        Feed(feed.kind, feed.inputs, at_start=("marks",)),
        [*TWO, TensorSpec("marks", "float32", (COUNT, 2), "px")],
        states=[memory((COUNT, 2))],
    )
    engine = Recorder(counting)
    stream = Stream(engine, spec)
    stream.push(frame(1), given={"marks": np.zeros((3, 2), np.float32)})
    stream.push(frame(2))
    result = stream.push(frame(3), beat=True)
    assert engine.runs[-1]["memory_in"].shape == (3, 2)
    assert result.outputs["level"].values[0] == (1 if feed is PAIR else 0)


def test_each_given_input_must_fit_those_of_the_start() -> None:
    spec = spec_of(
        Feed("frame", ("image",), at_start=("marks",)),
        [image(), TensorSpec("marks", "float32", (COUNT, 2), "px"),
         TensorSpec("weights", "float32", (COUNT,), "1")],
    )  # fmt: skip
    stream = Stream(Recorder(mean("image")), spec)
    three = np.zeros((3, 2), np.float32)
    stream.push(frame(1), given={"marks": three, "weights": three[:, 0]})
    with pytest.raises(FrameError, match=r"count = 3.*not 2"):
        stream.push(frame(2), given={"weights": three[:2, 0]})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_not_kept(value: float) -> None:
    spoil = [False]

    def answer(inputs):
        memory_out = inputs["memory_in"] + (value if spoil[0] else 1)
        return {"level": np.zeros(1, np.float32), "memory_out": memory_out}

    stream = Stream(Recorder(answer), spec_of(Feed("frame", ("image",)), [image()],
                                              states=[memory()]))  # fmt: skip
    stream.push(frame(1))
    spoil[0] = True
    with pytest.raises(EngineError, match="a finite memory_out"):
        stream.push(frame(2))
    spoil[0] = False
    stream.push(frame(2))
    assert stream.state().tensors["memory"].tolist() == [2]
    missing = Stream(Recorder(mean("image")), stream.spec)
    with pytest.raises(EngineError, match="the output memory_out"):
        missing.push(frame(1))


def test_a_spacing_must_be_that_of_the_state() -> None:
    spec = spec_of(Feed("frame", ("image",)), [image()])
    known = Stream(Recorder(mean("image")), spec, spacing_mm=(0.5, 0.25))
    known.push(frame(1))
    with pytest.raises(ArgumentError, match=r"\(0.5, 0.25\).*got \(1.0, 1.0\)"):
        Stream(Recorder(mean("image")), spec, known.state(), spacing_mm=(1.0, 1.0))
    same = Stream(Recorder(mean("image")), spec, known.state(), spacing_mm=(0.5, 0.25))
    assert same.push(frame(2)).unit == "mm"
    assert Stream(Recorder(mean("image")), spec, known.state()).push(frame(2)).unit == "mm"
    unknown = Stream(Recorder(mean("image")), spec)
    unknown.push(frame(1))
    with pytest.raises(ArgumentError, match=r"no spacing_mm, as in the state"):
        Stream(Recorder(mean("image")), spec, unknown.state(), spacing_mm=(1.0, 1.0))


# --- sizes of what is read ------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["labels", "probabilities"])
def test_areas_of_smaller_maps_count_the_frames_pixels(role: str) -> None:
    shape = (1, H / 4, W / 4) if role == "labels" else (1, 2, H / 4, W / 4)
    dtype = "int64" if role == "labels" else "float32"
    tensor = TensorSpec("map", dtype, shape, "class", tolerance=0.1, role=role, names=("a", "b"))
    drawn = np.zeros((1, 8, 12), np.int64)
    drawn[0, :2, :3] = 1
    made = drawn if role == "labels" else np.stack([1 - drawn, drawn], 1).astype(np.float32)
    spec = spec_of(Feed("frame", ("image",)), [image()], [tensor])
    pixels = Stream(Recorder(lambda inputs: {"map": made}), spec).push(frame(1))
    assert pixels.areas.tolist() == [32 * 48 - 8 * 12, 8 * 12]
    stream = Stream(Recorder(lambda inputs: {"map": made}), spec, spacing_mm=(0.5, 0.25))
    assert stream.push(frame(1)).areas.tolist() == [(32 * 48 - 96) / 8, 96 / 8]


def test_a_window_that_comes_back_shorter_is_an_engines_fault() -> None:
    time = Axis("time", 1, 16)
    points = output("points", "at", shape=(1, time, 2, 2), time_axis=1)
    spec = spec_of(Feed("window", ("clip",), length=5, latency=4, time_axis=1),
                   [image("clip", (1, time, 1, H, W))], [points])  # fmt: skip
    stream = Stream(Recorder(lambda inputs: {"at": np.zeros((1, 3, 2, 2), np.float32)}), spec)
    for k in range(4):
        stream.push(frame(k))
    with pytest.raises(EngineError, match=r"at of 5 frames.*got 3"):
        stream.push(frame(4))
