"""A server of another version: what it returns is refused by name, and nobody waits for ever.

The server is a real gRPC server that speaks Triton's protocol; only what it returns is made up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cineflow.served import CONTRACT
from cineflow.spec import Feed, ModelSpec, TensorSpec
from cineflow_client import Client, ServerRefused

FRAME = np.zeros((16, 24), np.uint8)
IMAGE = TensorSpec("image", "float32", (1, 1, 16, 24), "grey level")
MEAN = TensorSpec("mean", "float32", (1, 1), "1", tolerance=0.01)
SPECS = {
    "streamed": ModelSpec("streamed", "A mean.", (IMAGE,), (MEAN,), feed=Feed("frame", ("image",))),
    "called": ModelSpec("called", "A mean.", (IMAGE,), (MEAN,), feed=Feed("call")),
}


def unknown_type(answer: Any) -> None:
    answer.outputs.add(name="mean", datatype="BF16", shape=[1, 1])
    answer.raw_output_contents.append(b"\0\0")


def too_few_bytes(answer: Any) -> None:
    answer.outputs.add(name="mean", datatype="FP32", shape=[1, 1])
    answer.raw_output_contents.append(b"\0\0")


def other_shape(answer: Any) -> None:
    answer.outputs.add(name="mean", datatype="FP32", shape=[3, 1])
    answer.raw_output_contents.append(b"\0" * 4)


def notes_of_another_form(answer: Any) -> None:
    for name, datatype, array in (
        ("mean", "FP32", np.zeros((1, 1), np.float32)),
        ("indices", "INT64", np.zeros(5, np.int64)),
        ("notes", "UINT8", np.frombuffer(b"3", np.uint8)),
    ):
        answer.outputs.add(name=name, datatype=datatype, shape=array.shape)
        answer.raw_output_contents.append(array.tobytes())


ANSWERS: list[Callable[[Any], None]] = [unknown_type, too_few_bytes, other_shape]


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Describes the two models, and gives `answer` for whatever is asked."""

    answer: Callable[[Any], None]

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802  Triton's name
        response = service_pb2.ModelConfigResponse()
        response.config.name = request.name
        if request.name in self.aliases:
            response.config.ensemble_scheduling.step.add(model_name=self.aliases[request.name])
            return response
        response.config.parameters["contract"].string_value = str(CONTRACT)
        response.config.parameters["spec"].string_value = SPECS[request.name].to_json()
        return response

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        self.answer(response)
        return response

    def ModelStreamInfer(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        for request in requests:
            inferred = self.ModelInfer(request, context)
            yield service_pb2.ModelStreamInferResponse(infer_response=inferred)


@pytest.fixture
def other() -> Iterator[tuple[Server, Client]]:
    pool = ThreadPoolExecutor(4)
    running, served = grpc.server(pool), Server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(served, running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    with Client(f"127.0.0.1:{port}", timeout_s=5) as client:
        yield served, client
    running.stop(None)


@pytest.mark.parametrize("answer", [*ANSWERS, notes_of_another_form])
def test_a_frame_with_such_a_result_is_settled_at_once(
    other: tuple[Server, Client], answer: Callable[[Any], None]
) -> None:
    served, client = other
    served.answer = answer
    with client.stream("streamed", "grpc", slots=1) as stream:
        for _ in range(2):  # its slot is free again
            started = time.monotonic()
            with pytest.raises(ServerRefused, match="this version of the contract") as error:
                stream.push(FRAME)
            assert time.monotonic() - started < 2
            assert "install the same version" in error.value.remedy


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_call_with_such_a_result_is_refused(
    other: tuple[Server, Client], answer: Callable[[Any], None]
) -> None:
    served, client = other
    served.answer = answer
    with pytest.raises(ServerRefused, match="this version of the contract"):
        client.call("called", image=FRAME[None, None].astype(np.float32))


def test_a_reader_that_fails_itself_leaves_no_frame_waiting(
    other: tuple[Server, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> Any:
        raise RuntimeError("a bug")

    served, client = other
    served.answer = notes_of_another_form
    monkeypatch.setattr("cineflow_client.delivery.read_result", fails)
    with client.stream("streamed", "grpc") as stream:
        pending = stream.submit(FRAME)
        with pytest.raises(Exception, match="a bug"):
            pending.result(2)


def test_an_input_may_have_any_name(other: tuple[Server, Client]) -> None:
    """Names of a model's inputs are not ours to choose: `model`, `self`."""
    served, client = other

    def answer(response: Any) -> None:
        response.outputs.add(name="mean", datatype="FP32", shape=[1, 1])
        response.raw_output_contents.append(np.float32(7).tobytes())

    served.answer = answer
    inputs = tuple(TensorSpec(name, "float32", (1, 1), "1") for name in ("model", "self"))
    SPECS["named"] = ModelSpec("named", "A mean.", inputs, (MEAN,), feed=Feed("call"))
    one = np.ones((1, 1), np.float32)
    assert client.call("named", model=one, self=one)["mean"].values == 7
    assert json.loads(SPECS["named"].to_json())["inputs"][0]["name"] == "model"


def test_calls_follow_an_alias_that_moves(
    other: tuple[Server, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, client = other
    served.aliases["alias"] = "called"

    def answer(response: Any) -> None:
        response.outputs.add(name="mean", datatype="FP32", shape=[1, 1])
        value = {"called": 1, "newer": 2}[response.model_name]
        response.raw_output_contents.append(np.float32(value).tobytes())

    monkeypatch.setitem(SPECS, "newer", SPECS["called"])
    monkeypatch.setattr("cineflow_client.client.ALIAS_LIFETIME_S", 0.3)
    served.answer = answer
    image = FRAME[None, None].astype(np.float32)
    assert client.call("alias", image=image)["mean"].values == 1
    served.aliases["alias"] = "newer"
    assert client.call("alias", image=image)["mean"].values == 1  # asked a moment ago
    time.sleep(0.35)
    assert client.call("alias", image=image)["mean"].values == 2
