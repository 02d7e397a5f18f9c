"""The model inside the server, spoken to directly: what a client of ours would never send."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import FrameError
from cineflow.serving.backend import StreamTable, default_threads
from cineflow.spec import ModelSpec, TensorSpec

IMAGE = (1, 1, 8, 8)
SPEC = ModelSpec(
    name="still",
    summary="Says that nothing moves.",
    inputs=(
        TensorSpec("previous", "float32", IMAGE, "grey level"),
        TensorSpec("current", "float32", IMAGE, "grey level"),
    ),
    outputs=(TensorSpec("flow", "float32", (1, 2, 8, 8), "px"),),
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_idle_streams_are_let_go():
    clock = Clock()
    table = StreamTable(engine=None, spec=SPEC, idle_s=10, clock=clock)
    for sequence in ("a", "b"):
        table.begin(sequence)
    clock.now = 8.0
    table.get("a")
    clock.now = 12.0
    table.get("a")
    assert len(table) == 1  # b idled; no request of its own was needed
    with pytest.raises(FrameError, match="sequence b"):
        table.get("b")
    clock.now = 30.0
    with pytest.raises(FrameError, match="idle for 10 s"):
        table.get("a")
    table.end("never seen")


def test_a_sequence_that_starts_again_begins_anew():
    table = StreamTable(engine=None, spec=SPEC, idle_s=10)
    table.begin(7)
    table.get(7).push(np.zeros((8, 8), np.uint8), index=40)
    table.begin(7)
    assert table.get(7).state() is None


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (64, 2)])
def test_one_core_is_left_to_the_server(monkeypatch, cores, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    assert default_threads() == threads


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

    def ask(self, *, start=False, end=False, outputs=(), **inputs):
        """Answer by name, or the error's text."""
        import grpc

        request = self._pb.ModelInferRequest(model_name=self._model)
        request.parameters["sequence_id"].int64_param = self._sequence
        request.parameters["sequence_start"].bool_param = start
        request.parameters["sequence_end"].bool_param = end
        kinds = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}
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
        return {
            output.name: np.frombuffer(raw, "<i8" if output.datatype == "INT64" else "<f4")
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
    assert raw.ask(start=True, frame=first)["tracked"].tolist() == [0, 0, 0, 0]
    for bad, inputs in {
        "finite": {"frame_f32": nan},
        "as the frames before": {"frame": first[:64]},
        "got both": {"frame": first, "frame_f32": first.astype(np.float32)},
        "above 0": {"frame": first, "frame_index": np.array([0])},
    }.items():
        assert bad in raw.ask(**inputs)
    assert raw.ask(frame=second)["tracked"].tolist() == [0, 1, 0, 0]
    assert set(raw.ask(frame=first, end=True)) == {"flow", "displacement", "quality", "tracked"}
    assert "START" in raw.ask(frame=first)


def test_only_the_outputs_that_are_asked_for_travel(raw, moving_frames):
    answer = raw.ask(start=True, end=True, frame=moving_frames[0], outputs=["quality"])
    assert list(answer) == ["quality"]
    assert answer["quality"].tolist() == [1.0]


def test_a_stream_needs_frames_and_may_end_without(server, repository):
    (hashed,) = (path.name for path in repository.glob("lucas_kanade-*"))
    raw = Raw(server, hashed)
    assert "wanted a frame" in raw.ask(start=True, frame_index=np.array([3]))
    assert raw.ask(end=True) == {}
