"""Streams of every kind of model: what the model sees, and what is read off its outputs."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from cineflow.errors import EngineError, FrameError, SpecError
from cineflow.runtime.stream import Stream
from cineflow.spec import Axis, Feed, ModelSpec, Role, TensorSpec

H, W = Axis("height", 16, 64, 16), Axis("width", 16, 64, 16)


class Recorder:
    """An engine that keeps its inputs and returns what `answer` makes of them."""

    name = "recorder"
    kernels = "none"
    model = "recorder"

    def __init__(self, answer) -> None:
        self.answer = answer
        self.runs = []

    def run(self, inputs):
        self.runs.append({name: np.array(value) for name, value in inputs.items()})
        return self.answer(inputs)


def frame(level: float, size=(32, 48), dtype=np.uint8) -> np.ndarray:
    return np.full(size, level, dtype)


def image(name="image", shape=(1, 1, H, W), unit="grey level", dtype="float32") -> TensorSpec:
    return TensorSpec(name, dtype, shape, unit)


def level(name="level") -> TensorSpec:
    return TensorSpec(name, "float32", (1,), "grey level", tolerance=0.1)


def spec_of(feed: Feed, inputs, outputs=None, states=()) -> ModelSpec:
    return ModelSpec("kind", "A model.", tuple(inputs), tuple(outputs or (level(),)), tuple(states),
                     feed=feed)  # fmt: skip


def mean(*names):
    """An answer: the mean of the named inputs' difference, last less first."""

    def answer(inputs):
        values = [inputs[name] for name in names]
        first = values[0].mean() if len(values) > 1 else 0.0
        return {"level": np.array([values[-1].mean() - first], np.float32)}

    return answer


# --- what the model sees --------------------------------------------------------------------------


def test_each_frame_by_itself() -> None:
    spec = spec_of(Feed("frame", ("image",)), [image()])
    stream = Stream(Recorder(mean("image")), spec)
    results = [stream.push(frame(k)) for k in (3, 5)]
    assert [r.outputs["level"].values[0] for r in results] == [3, 5]
    assert [(r.previous, r.current, r.described) for r in results] == [(0, 0, 0), (0, 1, 1)]
    assert results[0].flow is None
    assert "no output with the role flow" in results[0].absent["flow"]
    assert results[0].beat_info is None
    assert results[0].outputs["level"].unit == "grey level"


def test_a_reference_is_renewed_by_a_trigger_and_with_it_the_states() -> None:
    spec = spec_of(
        Feed("reference", ("fixed", "moving")), [image("fixed"), image("moving")],
        states=[TensorSpec("memory", "float32", (1, H / 4, W / 4), "1")],
    )  # fmt: skip

    def answer(inputs):
        return mean("fixed", "moving")(inputs) | {"memory_out": inputs["memory_in"] + 1}

    engine = Recorder(answer)
    stream = Stream(engine, spec)
    beats = (None, None, True, None)
    results = [stream.push(frame(10 * k), beat=beat) for k, beat in enumerate(beats)]
    assert [r.outputs["level"].values[0] for r in results] == [0, 10, 0, 10]
    assert [r.reference for r in results] == [0, 0, 2, 2]
    assert [r.beat for r in results] == [0, 0, 1, 1]
    assert [run["memory_in"].max() for run in engine.runs] == [0, 1, 0, 1]
    assert engine.runs[0]["memory_in"].shape == (1, 8, 12)


def test_a_window_waits_hops_and_says_so() -> None:
    shape = (1, 3, 1, H, W)
    spec = spec_of(Feed("window", ("clip",), length=3, hop=2, latency=1, time_axis=1),
                   [image("clip", shape)])  # fmt: skip
    engine = Recorder(mean("clip"))
    stream = Stream(engine, spec)
    results = [stream.push(frame(k)) for k in range(7)]
    ran = [k for k, result in enumerate(results) if result.outputs]
    assert ran == [2, 4, 6]
    assert [run["clip"][0, :, 0, 0, 0].tolist() for run in engine.runs] == [
        [0, 1, 2], [2, 3, 4], [4, 5, 6],
    ]  # fmt: skip
    assert [results[k].described for k in ran] == [1, 3, 5]
    assert "2 of its 3 frames" in results[1].absent["level"]
    assert "by 2 frames" in results[3].absent["level"]


def test_a_window_with_a_reference() -> None:
    spec = spec_of(Feed("window", ("fixed", "clip"), length=2, time_axis=0),
                   [image("fixed"), image("clip", (2, 1, H, W))])  # fmt: skip
    engine = Recorder(mean("clip"))
    stream = Stream(engine, spec)
    results = [stream.push(frame(k), beat=k == 2) for k in range(4)]
    assert [run["fixed"].max() for run in engine.runs] == [0, 2, 2]
    assert [result.reference for result in results] == [0, 0, 2, 2]
    assert [result.beat for result in results] == [0, 0, 1, 1]


def test_both_frames_of_a_pair_in_one_input() -> None:
    spec = spec_of(Feed("pair", ("both",), time_axis=1), [image("both", (1, 2, H, W))])
    engine = Recorder(mean("both"))
    stream = Stream(engine, spec)
    first = stream.push(frame(1))
    assert not first.outputs
    stream.push(frame(2))
    assert engine.runs[0]["both"].shape == (1, 2, 32, 48)
    assert engine.runs[0]["both"][0, :, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "memories"), [("reference", [0, 1, 0, 1]), ("pair", [0, 1, 2, 3])]
)
def test_the_current_frame_alone_where_the_model_keeps_the_other(kind: str, memories) -> None:
    """It runs for every frame. A trigger starts the states again where there is a reference."""
    role = {"pair": "flow", "reference": "displacement"}[kind]
    spec = spec_of(
        Feed(kind, ("image",)), [image()],
        [TensorSpec(role, "float32", (1, 2, H, W), "px", tolerance=0.1, role=role)],
        states=[TensorSpec("memory", "float32", (1, 1), "1")],
    )  # fmt: skip

    def answer(inputs):
        field = np.broadcast_to(inputs["image"] + 1, (1, 2, *inputs["image"].shape[2:]))
        return {role: np.ascontiguousarray(field), "memory_out": inputs["memory_in"] + 1}

    engine = Recorder(answer)
    stream = Stream(engine, spec)
    results = [stream.push(frame(k), beat=k == 2) for k in range(4)]
    assert [list(run) for run in engine.runs] == [["image", "memory_in"]] * 4
    assert [run["image"].max() for run in engine.runs] == [0, 1, 2, 3]
    assert [run["memory_in"].item() for run in engine.runs] == memories
    assert [result.reference for result in results] == [0, 0, 2, 2]
    motions = [getattr(result, role).max() for result in results]
    assert motions == ([0, 2, 3, 4] if kind == "pair" else [1, 2, 3, 4])
    goes_on = Stream(Recorder(answer), spec, stream.state())
    assert getattr(goes_on.push(frame(4), beat=False), role).max() == 5


@pytest.mark.parametrize(
    ("tensor", "settings", "wanted"),
    [
        (image(unit="0..1"), {}, [0.0, 1.0]),
        (image(unit="-1..1"), {}, [-1.0, 1.0]),
        (image(unit="standardised"), {"scale": 0.02, "offset": -2.0}, [-2.0, 3.1]),
        (image(shape=(1, 3, H, W), unit="0..1"), {}, [0.0, 1.0]),
        (image(dtype="uint8"), {}, [0, 255]),
        (image(dtype="float16", unit="0..1"), {}, [0.0, 1.0]),
    ],
)
def test_grey_levels_become_the_models_values(tensor, settings, wanted) -> None:
    spec = spec_of(Feed("frame", ("image",), **settings), [tensor])
    engine = Recorder(mean("image"))
    half = frame(0)
    half[:, 24:] = 255
    Stream(engine, spec).push(half)
    seen = engine.runs[0]["image"]
    assert seen.dtype == tensor.dtype
    assert seen.shape[1] == tensor.shape[1]
    for channel in seen[0]:
        np.testing.assert_allclose([channel.min(), channel.max()], wanted, atol=1e-3)


def test_volumes() -> None:
    d = Axis("depth", 8, 64, 8)
    spec = spec_of(
        Feed("pair", ("previous", "current"), volume=True),
        [image("previous", (1, 1, d, H, W)), image("current", (1, 1, d, H, W))],
        [TensorSpec("motion", "float32", (1, 3, d, H, W), "px", tolerance=0.01, role=Role.FLOW)],
    )
    move = np.float32([1.0, 0.5, -0.25])

    def answer(inputs):
        size = inputs["current"].shape[2:]
        return {"motion": np.broadcast_to(move[:, None, None, None], (3, *size))[None].copy()}

    stream = Stream(Recorder(answer), spec)
    results = [stream.push(frame(k, (8, 16, 32))) for k in range(3)]
    middle = results[2].displacement[:, 4, 8, 16]
    np.testing.assert_allclose(middle, 2 * move, atol=1e-6)
    assert results[2].quality is None
    assert "volumes" in results[2].absent["quality_parts"]
    with pytest.raises(FrameError, match=r"\[D, H, W\]"):
        stream.push(frame(1))


def test_given_inputs_once_and_with_each_frame() -> None:
    spec = spec_of(
        Feed("frame", ("image",), at_start=("landmarks",)),
        [image(), TensorSpec("landmarks", "float32", (1, 3, 2), "px"),
         TensorSpec("gain", "float32", (1,), "dB")],
    )  # fmt: skip
    engine = Recorder(mean("image"))
    stream = Stream(engine, spec)
    marks, gain = np.ones((1, 3, 2), np.float32), np.zeros(1, np.float32)
    with pytest.raises(FrameError, match=r"\['landmarks', 'gain'\] with the first frame; got \[\]"):
        stream.push(frame(1))
    with pytest.raises(FrameError, match="landmarks: float32"):
        stream.push(frame(1), given={"landmarks": marks[:, :2], "gain": gain})
    stream.push(frame(1), given={"landmarks": marks, "gain": gain})
    stream.push(frame(2), given={"gain": gain + 1})
    with pytest.raises(FrameError, match="after the first"):
        stream.push(frame(3), given={"landmarks": marks, "gain": gain})
    assert [run["gain"][0] for run in engine.runs] == [0, 1]
    assert all((run["landmarks"] == 1).all() for run in engine.runs)


def test_what_is_given_once_outlasts_a_first_frame_that_is_refused() -> None:
    spec = spec_of(Feed("frame", ("image",), at_start=("landmarks",)),
                   [image(), TensorSpec("landmarks", "float32", (1, 3, 2), "px")])  # fmt: skip
    engine = Recorder(mean("image"))
    stream = Stream(engine, spec)
    marks = np.ones((1, 3, 2), np.float32)
    with pytest.raises(FrameError, match="a whole frame index"):
        stream.push(frame(1), index=-1, given={"landmarks": marks})
    marks[:] = 7  # the caller's memory may be used again
    stream.push(frame(1))  # a client has sent them, and does not send them again
    assert (engine.runs[0]["landmarks"] == 1).all()


# --- what is read off the outputs -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "components", "made"),
    [
        ("px", (), (2.0, -1.0)),
        ("normalised", (), (2.0 / 24, -1.0 / 16)),
        ("normalised corners", (), (2.0 / 23.5, -1.0 / 15.5)),
        ("px", ("y", "x"), (-1.0, 2.0)),
    ],
)
def test_a_flow_in_any_known_unit_is_composed_in_pixels(unit, components, made) -> None:
    flow = TensorSpec("move", "float32", (1, 2, H, W), unit, tolerance=0.01, role="flow",
                      components=components)  # fmt: skip
    spec = spec_of(Feed("pair", ("a", "b")), [image("a"), image("b")], [flow])

    def answer(inputs):
        values = np.float32(made)[None, :, None, None]
        return {"move": np.broadcast_to(values, (1, 2, 32, 48)).copy()}

    stream = Stream(Recorder(answer), spec)
    results = [stream.push(frame(k)) for k in range(3)]
    np.testing.assert_allclose(results[2].flow[:, 16, 24], [2.0, -1.0], rtol=1e-5)
    np.testing.assert_allclose(results[2].displacement[:, 16, 24], [4.0, -2.0], rtol=1e-5)
    assert results[2].outputs["move"].values is results[2].flow
    assert results[2].outputs["move"].unit == "px"


def test_an_unknown_unit_is_refused_before_anything_runs() -> None:
    flow = TensorSpec("move", "float32", (1, 2, H, W), "mm", tolerance=0.01, role="flow")
    spec = spec_of(Feed("pair", ("a", "b")), [image("a"), image("b")], [flow])
    with pytest.raises(SpecError, match=r"motion in 'px'.*got 'mm'"):
        Stream(Recorder(mean("a")), spec)
    odd = spec_of(Feed("frame", ("image",)), [image(unit="dB")])
    with pytest.raises(SpecError, match="scale and offset; got 'dB'"):
        Stream(Recorder(mean("image")), odd)


def test_heat_maps_give_points_between_the_pixels() -> None:
    maps = TensorSpec("maps", "float32", (1, 2, H / 4, W / 4), "1", tolerance=0.01,
                      role="heat_maps", names=("septum", "wall"))  # fmt: skip
    spec = spec_of(Feed("frame", ("image",)), [image()], [maps])
    y, x = np.mgrid[:8, :12]
    peaks = ((5.3, 3.1), (2.0, 6.4))  # x, y on the map

    def answer(inputs):
        made = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8) for px, py in peaks]
        return {"maps": np.stack(made)[None].astype(np.float32)}

    result = Stream(Recorder(answer), spec, spacing_mm=(0.5, 0.25)).push(frame(1))
    wanted = (np.array(peaks) + 0.5) * 4 - 0.5
    np.testing.assert_allclose(result.points, wanted, atol=0.15)
    assert result.confidence == pytest.approx([1.0, 1.0], abs=0.05)
    length = np.hypot(*((wanted[1] - wanted[0]) * (0.25, 0.5)))
    assert result.unit == "mm"
    assert result.lengths == pytest.approx([length], rel=0.01)


def test_labels_give_areas_and_points_of_a_window_the_described_frames() -> None:
    labels = TensorSpec("labels", "int64", (1, H, W), "class", role="labels",
                        names=("background", "left ventricle"))  # fmt: skip
    spec = spec_of(Feed("frame", ("image",)), [image()], [labels])
    drawn = np.zeros((1, 32, 48), np.int64)
    drawn[0, :4, :5] = 1
    result = Stream(Recorder(lambda inputs: {"labels": drawn}), spec).push(frame(1))
    assert result.areas.tolist() == [32 * 48 - 20, 20]
    assert result.outputs["labels"].names == ("background", "left ventricle")

    points = TensorSpec("tracks", "float32", (1, 3, 2, 2), "px", tolerance=0.1, role="points",
                        time_axis=1, components=("y", "x"))  # fmt: skip
    spec = spec_of(Feed("window", ("clip",), length=3, latency=1, time_axis=1),
                   [image("clip", (1, 3, 1, H, W))], [points])  # fmt: skip
    track = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    stream = Stream(Recorder(lambda inputs: {"tracks": track}), spec)
    results = [stream.push(frame(k)) for k in range(3)]
    assert results[2].described == 1
    assert results[2].points.tolist() == [[5, 4], [7, 6]]
    assert results[2].outputs["tracks"].values.shape == (1, 3, 2, 2)


def test_a_displacement_gives_strain_where_it_is_asked_for() -> None:
    move = TensorSpec("move", "float32", (1, 2, H, W), "px", tolerance=0.01, role="displacement")
    spec = spec_of(Feed("reference", ("a", "b")), [image("a"), image("b")], [move])
    x = np.arange(48, dtype=np.float32)[None] * np.ones((32, 1), np.float32)
    made = np.stack([0.1 * x, 0 * x])[None]
    plain = Stream(Recorder(lambda inputs: {"move": made}), spec).push(frame(1))
    assert plain.strain is None
    assert plain.absent["strain"] == "it was not asked for"
    result = Stream(Recorder(lambda inputs: {"move": made}), spec, readings=("strain",)).push(
        frame(1)
    )
    np.testing.assert_allclose(result.strain[0], 0.1 + 0.005, atol=1e-4)
    np.testing.assert_allclose(result.strain[1:], 0.0, atol=1e-6)
    assert result.displacement[0, 0, 10] == pytest.approx(1.0)


# --- bad input, state, threads --------------------------------------------------------------------


def test_values_out_of_the_declared_range_are_refused() -> None:
    spec = spec_of(Feed("frame", ("image",)), [image()])
    stream = Stream(Recorder(mean("image")), spec)
    with pytest.raises(FrameError, match=r"highest value is 1: it looks scaled.*Multiply"):
        stream.push(frame(1.0, dtype=np.float32))
    with pytest.raises(FrameError, match="grey levels from 0 to 255; got values from 300"):
        stream.push(frame(300.0, dtype=np.float32))
    with pytest.raises(FrameError, match=r"uint16.*Convert it to float32 and scale it to 0..255"):
        stream.push(frame(300, dtype=np.uint16))
    wide = spec_of(Feed("frame", ("image",), grey=(0.0, 4095.0)), [image()])
    Stream(Recorder(mean("image")), wide).push(frame(300.0, dtype=np.float32))


def test_a_repeated_frame_is_marked() -> None:
    stream = Stream(Recorder(mean("image")), spec_of(Feed("frame", ("image",)), [image()]))
    assert [stream.push(frame(k)).repeat for k in (1, 1, 2)] == [False, True, False]


def test_an_output_that_is_not_finite_leaves_the_state_alone() -> None:
    spec = spec_of(Feed("frame", ("image",)), [image()])
    stream = Stream(Recorder(lambda inputs: {"level": np.float32([np.nan])}), spec)
    with pytest.raises(EngineError, match="a finite level"):
        stream.push(frame(1))
    assert stream.state() is None


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_a_windows_state_goes_on_elsewhere_bit_for_bit(cut: int) -> None:
    spec = spec_of(Feed("window", ("clip",), length=3, hop=2, time_axis=1),
                   [image("clip", (1, 3, 1, H, W))])  # fmt: skip
    whole_engine, engine = Recorder(mean("clip")), Recorder(mean("clip"))
    whole = Stream(whole_engine, spec)
    for k in range(7):
        whole.push(frame(k))
    first = Stream(engine, spec)
    for k in range(cut):
        first.push(frame(k))
    second = Stream(engine, spec, pickle.loads(pickle.dumps(first.state())))
    for k in range(cut, 7):
        second.push(frame(k))
    assert len(engine.runs) == len(whole_engine.runs) == 3
    for one, other in zip(engine.runs, whole_engine.runs, strict=True):
        np.testing.assert_array_equal(one["clip"], other["clip"])


def test_a_second_thread_is_told_at_once() -> None:
    running, finish = threading.Event(), threading.Event()

    def slow(inputs):
        running.set()
        finish.wait(10)
        return mean("image")(inputs)

    stream = Stream(Recorder(slow), spec_of(Feed("frame", ("image",)), [image()]))
    thread = threading.Thread(target=stream.push, args=(frame(1),))
    thread.start()
    assert running.wait(10)
    with pytest.raises(FrameError, match="one frame at a time"):
        stream.push(frame(2))
    finish.set()
    thread.join()
    assert stream.push(frame(3)).current == 1


def test_a_call_is_not_a_stream() -> None:
    spec = spec_of(Feed("call"), [image()])
    with pytest.raises(SpecError, match="a call of \\['image'\\]"):
        Stream(Recorder(mean("image")), spec)
