"""The model inside the server, spoken to directly: what a client of ours would never send."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from cineflow.errors import ArgumentError, EngineError
from cineflow.served import Cause, Quality, Rhythm
from cineflow.serving.calls import CallRunner
from cineflow.serving.errors import PlacesTakenError, SequenceTakenError, StreamGoneError
from cineflow.serving.streams import StreamTable
from cineflow.spec import Axis, ModelSpec, TensorSpec


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_idle_streams_are_let_go():
    clock = Clock()
    table = StreamTable(idle_s=10, places=9, clock=clock)
    streams = {"a": object(), "b": object()}
    for sequence, stream in streams.items():
        table.begin(sequence, stream)
    clock.now = 8.0
    assert table.get("a") is streams["a"]
    clock.now = 12.0
    table.get("a")
    assert len(table) == 1  # b idled; no request of its own was needed
    with pytest.raises(StreamGoneError, match="sequence b"):
        table.get("b")
    clock.now = 30.0
    with pytest.raises(StreamGoneError, match="idle for 10 s"):
        table.get("a")
    table.end("never seen")


def test_a_live_sequence_is_not_taken_over():
    clock = Clock()
    table = StreamTable(idle_s=10, places=9, clock=clock)
    first, second = object(), object()
    table.begin(7, first)
    with pytest.raises(SequenceTakenError, match="7, which is live"):
        table.begin(7, second)
    assert table.get(7) is first
    table.end(7)
    table.begin(7, second)
    assert table.get(7) is second
    clock.now = 11.0
    table.begin(7, first)  # the other one was idle for too long
    assert table.get(7) is first


def test_one_stream_more_than_there_are_places():
    clock = Clock()
    table = StreamTable(idle_s=10, places=2, clock=clock)
    table.begin(1, object())
    clock.now = 5.0
    table.begin(2, object())
    with pytest.raises(PlacesTakenError, match="among the 2"):
        table.begin(3, object())
    clock.now = 11.0  # the first was idle for too long: its place is free
    table.begin(3, object())


BATCH = Axis("batch", 1, 4)
DOUBLE = ModelSpec(
    "double",
    "Twice the input.",
    (TensorSpec("x", "float32", (BATCH, Axis("width", 1, 9)), "1"),),
    (TensorSpec("y", "float32", (BATCH, Axis("width", 1, 9)), "1", tolerance=0.0),),
)


class Double:
    """Doubles its input, and fails where a value is 13."""

    name, kernels, model = "double", "none", "double-0"

    def __init__(self):
        self.batches = []

    def run(self, inputs):
        self.batches.append(len(inputs["x"]))
        if (inputs["x"] == 13).any():
            raise EngineError("a number without bad luck", "13")
        return {"y": 2 * inputs["x"]}


def rows(count, value=1.0, width=3):
    return {"x": np.full((count, width), value, np.float32)}


def test_calls_that_fit_run_together_and_each_gets_its_own_part():
    engine = Double()
    runner = CallRunner(engine, DOUBLE, batch_limit=4)
    calls = [rows(1, 1), rows(2, 2), rows(1, 3), rows(3, 4), rows(1, 5, width=2)]
    results = runner.run(calls)
    assert engine.batches == [4, 3, 1]
    for call, result in zip(calls, results, strict=True):
        np.testing.assert_array_equal(result["y"], 2 * call["x"])


def test_a_bad_call_spoils_no_other():
    runner = CallRunner(Double(), DOUBLE, batch_limit=4)
    nan = rows(1)
    nan["x"][0, 0] = np.nan
    results = runner.run([rows(1, 1), rows(1, 13), {}, nan, rows(9), rows(1, 4)])
    kinds = [type(result) for result in results]
    assert kinds == [dict, EngineError, ArgumentError, ArgumentError, ArgumentError, dict]
    np.testing.assert_array_equal(results[5]["y"], 8.0)
    assert "batch of 1..4, not 9" in str(results[4])


def test_without_a_batch_axis_each_call_runs_alone():
    engine = Double()
    assert len(CallRunner(engine, DOUBLE, batch_limit=0).run([rows(1), rows(1)])) == 2
    assert engine.batches == [1, 1]


def test_the_server_itself_refuses_points_outside_their_picture():
    side = Axis("side", 4, 9)
    spec = ModelSpec(
        "marked",
        "Twice the input.",
        (
            TensorSpec("x", "float32", (1, side, side), "1"),
            TensorSpec("marks", "float32", (1, 2, 2), "px", points_of="x"),
        ),
        (TensorSpec("y", "float32", (1, side, side), "1", tolerance=0.0),),
    )
    picture = np.zeros((1, 6, 6), np.float32)
    inside = np.array([[[1, 1], [5, 5]]], np.float32)
    runner = CallRunner(Double(), spec, batch_limit=0)
    good, bad = runner.run([{"x": picture, "marks": inside}, {"x": picture, "marks": inside + 1}])
    assert good["y"].shape == (1, 6, 6)
    assert isinstance(bad, ArgumentError)
    assert "marks[0, 1] at (6, 6), outside the 6 x 6 pixels of x" in str(bad)


class Raw:
    """One sequence, with requests of any kind."""

    def __init__(self, server, model: str) -> None:
        import grpc
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        self._pb = service_pb2
        self._channel = grpc.insecure_channel(server.url)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._model = model
        self._sequence = int(np.random.default_rng().integers(1, 2**62))

    def ask(self, *, start=False, end=False, outputs=(), fields="", **inputs):
        """Answer by name, or the error's text."""
        import grpc

        request = self._pb.ModelInferRequest(model_name=self._model)
        request.parameters["sequence_id"].int64_param = self._sequence
        request.parameters["sequence_start"].bool_param = start
        request.parameters["sequence_end"].bool_param = end
        if fields:
            request.parameters["fields"].string_param = fields
        kinds = {
            "uint8": "UINT8", "float32": "FP32", "float64": "FP64", "int64": "INT64",
            "bool": "BOOL",
        }  # fmt: skip
        for name, value in inputs.items():
            tensor = request.inputs.add(name=name, datatype=kinds[value.dtype.name])
            tensor.shape.extend(value.shape)
            request.raw_input_contents.append(value.tobytes())
        for name in outputs:
            request.outputs.add(name=name)
        try:
            answer = self._stub.ModelInfer(request, timeout=10)
        except grpc.RpcError as error:
            return error.details()
        types = {"INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "UINT8": "u1"}
        return {
            output.name: np.frombuffer(raw, types[output.datatype])
            for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }


@pytest.fixture(params=["alias", "hashed"])
def raw(request, server, repository):
    (hashed,) = (path.name for path in repository.glob("lucas_kanade-*"))
    return Raw(server, "lucas_kanade" if request.param == "alias" else hashed)


def test_bad_frames_do_not_move_the_stream(raw, moving_frames):
    first, second = moving_frames[:2]
    nan = first.astype(np.float32)
    nan[5, 6] = np.nan
    assert raw.ask(start=True, frame=first)["indices"].tolist() == [0] * 7
    for bad, inputs in {
        "finite": {"frame_f32": nan},
        "as the frames before": {"frame": first[:64]},
        '"got": "both"': {"frame": first, "frame_f32": first.astype(np.float32)},
        "above 0": {"frame": first, "frame_index": np.array([0])},
        "a time for every frame": {"frame": first, "time_ms": np.array([33.0])},
    }.items():
        assert bad in raw.ask(**inputs)
    assert raw.ask(frame=second)["indices"].tolist() == [1, 0, 0, 1, 0, 0, 0]
    names = {"flow", "displacement", "quality_parts", "beat_info", "indices", "notes"}
    assert set(raw.ask(frame=first, end=True, outputs=names)) == names
    assert "START" in raw.ask(frame=first)


def test_another_client_does_not_take_a_sequence_over(raw, moving_frames):
    """Its frames would be tracked against another patient's."""
    assert raw.ask(start=True, frame=moving_frames[0])["indices"][0] == 0
    assert "SequenceTakenError" in raw.ask(start=True, frame=moving_frames[5])
    assert raw.ask(frame=moving_frames[1])["indices"].tolist()[:3] == [1, 0, 0]
    # An END with it ends the sequence, as Triton sees it. Its owner is told; nothing is mixed up.
    assert "SequenceTakenError" in raw.ask(start=True, end=True, frame=moving_frames[5])
    assert "START" in raw.ask(frame=moving_frames[2])


def test_the_parts_of_the_quality_have_one_order(raw, moving_frames):
    first = raw.ask(start=True, frame=moving_frames[0])
    assert first["quality_parts"][:2].tolist() == [1.0, 0.0]
    names = [one.name for one in fields(Quality)]
    assert np.isnan(first["quality_parts"][names.index("temporal_px")])
    raw.ask(frame=moving_frames[1])
    third = dict(zip(names, raw.ask(frame=moving_frames[2])["quality_parts"], strict=True))
    assert 0.9 < third["correlation"] <= 1.0
    assert 0.0 < third["expected_error_px"] < 0.3
    assert 0.0 <= third["temporal_px"] < 0.3
    assert np.isnan(third["forward_backward_px"])  # costs a second run: off unless asked for
    raw.ask(end=True)


def test_a_trigger_is_named_and_its_drift_stated(raw, moving_frames):
    now = np.array([0.0])
    raw.ask(start=True, frame=moving_frames[0], beat=np.array([True]), time_ms=now)
    raw.ask(frame=moving_frames[1], beat=np.array([False]), time_ms=now + 400)
    renewed = raw.ask(frame=moving_frames[2], beat=np.array([True]), time_ms=now + 800)
    assert renewed["indices"].tolist() == [2, 1, 2, 2, 0, 0, 0]
    assert renewed["beat_info"][:4].tolist() == [1, Cause.TRIGGER, 0, Rhythm.UNKNOWN]
    # the texture moved by (1, 0.5) px per frame and did not come back
    assert renewed["beat_info"][4] == pytest.approx(2 * np.hypot(1, 0.5), abs=0.15)
    double = raw.ask(frame=moving_frames[3], beat=np.array([True]), time_ms=now + 900, end=True)
    assert double["beat_info"][:4].tolist() == [2, Cause.TRIGGER, 0, Rhythm.EARLY]
    assert np.isnan(double["beat_info"][4])


def test_only_the_outputs_that_are_asked_for_travel(raw, moving_frames):
    answer = raw.ask(start=True, end=True, frame=moving_frames[0], outputs=["indices"])
    assert list(answer) == ["indices"]


def test_half_precision_fits_into_the_messages_of_a_bare_stub(raw):
    """They take 4 MiB, and flow and displacement of 512 x 512 pixels in float32 are as large."""
    frame = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)
    names = ["flow", "displacement", "indices"]
    raw.ask(start=True, frame=frame, outputs=["indices"])
    assert "larger than max" in raw.ask(frame=np.roll(frame, 1, 1), outputs=names)
    half = raw.ask(frame=np.roll(frame, 2, 1), outputs=names, fields="f16", end=True)
    assert half["indices"].dtype == np.int64
    for name in names[:2]:
        assert half[name].dtype == np.float16
        assert half[name].size == 2 * 512 * 512
    assert np.median(half["flow"][: 512 * 512]) == pytest.approx(1.0, abs=0.05)


def test_frames_write_nothing_into_the_log(raw, server, moving_frames):
    raw.ask(start=True, frame=moving_frames[0])
    before = server.log_file.stat().st_size
    for frame in moving_frames[1:5]:
        raw.ask(frame=frame)
    assert server.log_file.read_text()[before:] == ""
    raw.ask(end=True)


def test_a_stream_needs_frames_and_may_end_without(server, repository):
    (hashed,) = (path.name for path in repository.glob("lucas_kanade-*"))
    raw = Raw(server, hashed)
    assert '"wanted": "a frame' in raw.ask(start=True, frame_index=np.array([3]))
    assert raw.ask(end=True) == {}
