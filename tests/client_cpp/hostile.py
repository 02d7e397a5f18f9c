"""A server that breaks off, hangs, lies about its model or sends what no server may send.

It speaks the protocol, without a model. What it does wrong is set by its attributes, at any time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import np_to_triton_dtype

from cineflow_client.local_key import remove, write_key
from tests.client_cpp.hostile_direct import NOTES, HostileDoor, outputs

_SERVICE = "inference.GRPCInferenceService"
_TENSOR = {"unit": "", "frame": "", "role": "", "names": [], "time_axis": None}
#: Outputs of its configuration, with Triton's numbers of the datatypes.
_PORTS = {
    "score": 11, "labels": 2, "flow": 11, "displacement": 11, "points": 11, "quality_parts": 12,
    "beat_info": 12, "state": 2, "indices": 9, "notes": 2, "computed": 9, "deadline": 12,
}  # fmt: skip


def axis(name: str, minimum: int = 16, maximum: int = 1024, multiple: int = 16) -> dict[str, Any]:
    return {"name": name, "minimum": minimum, "maximum": maximum, "multiple": multiple}


class Hostile:
    """A context manager.

    Attributes:
        url: Its address.
        height, width: Axes of the model's frames.
        breaks_after: Responses of a call until it breaks off.
        silent: It takes everything and says nothing, but to questions about the model.
        silent_about: Words in the paths of other methods that it does not answer.
        pause_s: How long it takes for `ModelReady`.
        stops: It refuses frames because it is being stopped, and does not answer the last request.
        spoil: Changes a response before it is sent.
        door: Takes the direct connections that it offers.
        seen: How often a method was called, by the end of its path.
    """

    def __init__(self) -> None:
        self.height, self.width = axis("height"), axis("width")
        self.breaks_after: int | None = None
        self.silent = self.stops = False
        self.silent_about: Sequence[str] = ()
        self.pause_s = 0.0
        self.spoil: Callable[[Any], Any] = lambda response: response
        self.seen: dict[str, int] = {}
        self.door: HostileDoor | None = None
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(64)
        options = [
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
            ("grpc.http2.max_ping_strikes", 0),
        ]
        self._server = grpc.server(self._pool, [_Handler(self)], options=options)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.url = f"127.0.0.1:{port}"
        self._key = write_key(port, "key")

    def __enter__(self) -> Hostile:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._server.stop(0).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self.door is not None:
            self.door.close()
        remove(self._key, "key")

    def spec(self) -> dict[str, Any]:
        """What it says about its model."""
        frames = {**_TENSOR, "dtype": "float32", "shape": [1, 1, self.height, self.width]}
        part = {"axis": self.height, "numerator": 1, "denominator": 4}
        return {
            "name": "m",
            "feed": {
                "kind": "frame", "volume": False, "grey": [0, 255], "inputs": ["a"],
                "at_start": [], "time_axis": None, "length": 1,
            },
            "inputs": [{**frames, "name": "a"}],
            "outputs": [
                {**_TENSOR, "dtype": "float32", "name": "score", "shape": [1]},
                {**_TENSOR, "dtype": "uint8", "name": "labels", "shape": [1, part, 20]},
            ],
        }  # fmt: skip

    def config(self) -> bytes:
        config = model_config_pb2.ModelConfig(name="m-1234")
        config.parameters["contract"].string_value = "4"
        config.parameters["spec"].string_value = json.dumps(self.spec())
        config.sequence_batching.max_sequence_idle_microseconds = 60_000_000
        for name, number in _PORTS.items():
            config.output.add(name=name, data_type=number)
        return bytes(service_pb2.ModelConfigResponse(config=config).SerializeToString())

    def hang(self, context: Any) -> None:
        """Until the call has ended."""
        ended = threading.Event()
        if not context.add_callback(ended.set):
            return
        while not (ended.wait(0.1) or self._done.is_set()):
            pass

    def result(self, request: Any, count: int) -> Any:
        """What a good server would say to a frame."""
        response = service_pb2.ModelInferResponse(model_name="m-1234", id=request.id)
        asked = {output.name: output.parameters for output in request.outputs}
        *_, height, width = request.inputs[0].shape
        notes = dict(NOTES)
        if self.door is not None and "direct" in request.parameters:
            notes["direct"] = self.door.name
        for name, array in outputs(height, width, count, notes).items():
            if name not in asked:
                continue
            datatype = np_to_triton_dtype(array.dtype)
            response.outputs.add(name=name, datatype=datatype, shape=array.shape)
            in_ring = "shared_memory_region" in asked[name]
            response.raw_output_contents.append(b"" if in_ring else array.tobytes())
        return response


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, server: Hostile) -> None:
        self._server = server

    def service(self, details: Any) -> Any:
        method = details.method.removeprefix(f"/{_SERVICE}/")
        if method == "ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(
                self._stream, service_pb2.ModelInferRequest.FromString
            )

        def unary(request: bytes, context: Any) -> bytes:
            return self._unary(method, request, context)

        return grpc.unary_unary_rpc_method_handler(unary)

    def _unary(self, method: str, request: bytes, context: Any) -> bytes:
        server = self._server
        server.seen[method] = server.seen.get(method, 0) + 1
        if any(words in method for words in server.silent_about):
            server.hang(context)
            return b""
        if method == "ModelConfig":
            return server.config()
        if method == "ModelReady":
            time.sleep(server.pause_s)
            return bytes(service_pb2.ModelReadyResponse(ready=True).SerializeToString())
        if method == "ModelInfer":
            asked = service_pb2.ModelInferRequest.FromString(request)
            if "watch" in asked.parameters:
                server.hang(context)
            return bytes(service_pb2.ModelInferResponse(id=asked.id).SerializeToString())
        return b""

    def _stream(self, requests: Iterator[Any], context: Any) -> Iterator[bytes]:
        server = self._server
        for count, request in enumerate(requests):
            if server.silent:
                server.hang(context)
                return
            said = service_pb2.ModelStreamInferResponse()
            ends = not request.inputs and request.parameters["sequence_end"].bool_param
            if server.stops and ends:
                continue
            if server.stops:
                said.error_message = (
                    'ServerStoppingError: {"wanted": "a", "got": "b", "remedy": "c"}'
                )
                said.infer_response.id = request.id
                yield said.SerializeToString()
                continue
            if request.inputs:
                said.infer_response.CopyFrom(server.result(request, count))
            else:
                said.infer_response.id = request.id
            said = server.spoil(said)
            yield said if isinstance(said, bytes) else said.SerializeToString()
            if server.breaks_after is not None and count + 1 >= server.breaks_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
