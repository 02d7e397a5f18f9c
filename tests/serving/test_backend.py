"""The model inside the server, with raw requests that cineflow_client would never send."""

from __future__ import annotations

import importlib
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest

from cineflow.export.triton import STREAM_OUTPUTS
from cineflow.motion.quality import Quality
from cineflow.motion.rhythm import Rhythm
from cineflow.runtime.stream import BeatInfo, Cause, MotionStream
from cineflow.serving.backend import StreamTable, output_arrays
from cineflow.serving.errors import StreamGoneError
from cineflow.spec import ModelSpec, TensorSpec

IMAGE = (1, 1, 8, 8)
SPEC = ModelSpec(
    name="still",
    summary="Nothing moves.",
    inputs=(
        TensorSpec("previous", "float32", IMAGE, "grey level"),
        TensorSpec("current", "float32", IMAGE, "grey level"),
    ),
    outputs=(TensorSpec("flow", "float32", (1, 2, 8, 8), "px"),),
)

ENGINE = SimpleNamespace(model="still-01234567")  # no test here sends a second frame


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_idle_streams_are_dropped():
    clock = Clock()
    table = StreamTable(engine=ENGINE, spec=SPEC, idle_s=10, clock=clock)
    for sequence in ("a", "b"):
        table.begin(sequence)
    clock.now = 8.0
    table.get("a")
    clock.now = 12.0
    table.get("a")
    assert len(table) == 1  # b was idle, and was dropped without a request
    with pytest.raises(StreamGoneError, match="sequence b"):
        table.get("b")
    clock.now = 30.0
    with pytest.raises(StreamGoneError, match="idle for 10 s"):
        table.get("a")
    table.end("never seen")


def test_a_sequence_that_starts_again_has_a_new_state():
    table = StreamTable(engine=ENGINE, spec=SPEC, idle_s=10)
    table.begin(7)
    table.get(7).push(np.zeros((8, 8), np.uint8), index=40)
    table.begin(7)
    assert table.get(7).state() is None


class Raw:
    """One sequence with arbitrary requests."""

    def __init__(self, server, model: str) -> None:
        import grpc
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        self._pb = service_pb2
        self._channel = grpc.insecure_channel(server.url)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._model = model
        self._sequence = int(np.random.default_rng().integers(1, 2**62))

    def ask(self, *, start=False, end=False, outputs=(), **inputs):
        """The outputs by name, or the error's text."""
        import grpc

        request = self._pb.ModelInferRequest(model_name=self._model)
        request.parameters["sequence_id"].int64_param = self._sequence
        request.parameters["sequence_start"].bool_param = start
        request.parameters["sequence_end"].bool_param = end
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
            response = self._stub.ModelInfer(request, timeout=10)
        except grpc.RpcError as error:
            return error.details()
        return {
            output.name: np.frombuffer(raw, "<i8" if output.datatype == "INT64" else "<f4")
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }


@pytest.fixture(params=["alias", "hashed"])
def raw(request, server, repository):
    (hashed,) = (path.name for path in repository.glob("lucas_kanade-*"))
    return Raw(server, "lucas_kanade" if request.param == "alias" else hashed)


def test_bad_frames_do_not_move_the_stream(raw, moving_frames):
    first, second = moving_frames[:2]
    nan = first.astype(np.float32)
    nan[5, 6] = np.nan
    assert raw.ask(start=True, frame=first)["tracked"].tolist() == [0, 0, 0, 0]
    for bad, inputs in {
        "finite": {"frame_f32": nan},
        "as the frames before": {"frame": first[:64]},
        '"got": "both"': {"frame": first, "frame_f32": first.astype(np.float32)},
        "above 0": {"frame": first, "frame_index": np.array([0])},
        "a time for every frame": {"frame": first, "time_ms": np.array([33.0])},
    }.items():
        assert bad in raw.ask(**inputs)
    assert raw.ask(frame=second)["tracked"].tolist() == [0, 1, 0, 0]
    assert set(raw.ask(frame=first, end=True)) == {name for name, *_ in STREAM_OUTPUTS}
    assert "START" in raw.ask(frame=first)


def test_the_parts_of_the_quality_have_one_order(raw, moving_frames):
    first = raw.ask(start=True, frame=moving_frames[0])
    assert first["quality_parts"][0] == 0.0
    names = [one.name for one in fields(Quality) if one.name != "index"]
    assert np.isnan(first["quality_parts"][names.index("temporal_px")])
    raw.ask(frame=moving_frames[1])
    third = dict(zip(names, raw.ask(frame=moving_frames[2])["quality_parts"], strict=True))
    assert 0.9 < third["correlation"] <= 1.0
    assert 0.0 < third["expected_error_px"] < 0.3
    assert 0.0 <= third["temporal_px"] < 0.3
    assert np.isnan(third["forward_backward_px"])  # needs a second run, so it is off by default
    raw.ask(end=True)


def test_a_trigger_and_its_drift_are_reported(raw, moving_frames):
    now = np.array([0.0])
    raw.ask(start=True, frame=moving_frames[0], beat=np.array([True]), time_ms=now)
    raw.ask(frame=moving_frames[1], beat=np.array([False]), time_ms=now + 400)
    renewed = raw.ask(frame=moving_frames[2], beat=np.array([True]), time_ms=now + 800)
    assert renewed["tracked"].tolist() == [1, 2, 2, 1]
    assert renewed["beat_info"].tolist() == [Cause.TRIGGER, 0, Rhythm.UNKNOWN]
    # the texture moved by (1, 0.5) px per frame and did not come back
    assert renewed["drift"][0] == pytest.approx(2 * np.hypot(1, 0.5), abs=0.15)
    double = raw.ask(frame=moving_frames[3], beat=np.array([True]), time_ms=now + 900, end=True)
    assert double["beat_info"].tolist() == [Cause.TRIGGER, 0, Rhythm.EARLY]
    assert np.isnan(double["drift"][0])


def test_the_client_and_the_server_name_the_same_things():
    client = importlib.import_module("cineflow_client")
    parts = [one.name for one in fields(client.QualityParts)]
    assert ["index", *parts] == [one.name for one in fields(Quality)]
    assert {name: dims for name, _, dims in STREAM_OUTPUTS}["quality_parts"] == (len(parts),)
    assert [one.name for one in fields(client.BeatInfo)] == [one.name for one in fields(BeatInfo)]
    for ours, theirs in ((Cause, client.Cause), (Rhythm, client.Rhythm)):
        assert ours.__members__.keys() == theirs.__members__.keys()
        assert all(ours[name] == theirs[name] for name in ours.__members__)
    result = MotionStream(ENGINE, SPEC).push(np.zeros((8, 8), np.uint8))
    assert list(output_arrays(result)) == [name for name, *_ in STREAM_OUTPUTS]


def test_only_the_outputs_that_are_asked_for_travel(raw, moving_frames):
    returned = raw.ask(start=True, end=True, frame=moving_frames[0], outputs=["quality"])
    assert list(returned) == ["quality"]
    assert returned["quality"].tolist() == [1.0]


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
