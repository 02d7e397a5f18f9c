"""Between a client and a server: makes the server lose each ring as soon as it is mapped."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from cineflow.serving import TritonServer
from cineflow_client import Client
from cineflow_client.local_key import read_key, remove, write_key

_STREAM, _REGISTER = "/ModelStreamInfer", "/SystemSharedMemoryRegister"


class Middleman(grpc.GenericRpcHandler):
    """Hands the messages of both sides over, but offers no direct connection: the model's process
    keeps its own mapping. A context manager.

    Attributes:
        url: Where a client of this user finds it.
        steals: Whether rings are lost from here on.
        stolen: How many were.
    """

    def __init__(self, server: TritonServer) -> None:
        self.steals = False
        self.stolen = 0
        self.switch_to(server)
        self._listening = grpc.server(ThreadPoolExecutor(16), [self])
        port = self._listening.add_insecure_port("127.0.0.1:0")
        self.url = f"127.0.0.1:{port}"
        self._text = str(read_key(server.url))
        self._key = write_key(port, self._text)

    def switch_to(self, server: TritonServer) -> None:
        """Hand over to a server from here on; its key is not the one before."""
        self._client = Client(server.url)
        self._channel = grpc.insecure_channel(server.url, [("grpc.max_receive_message_length", -1)])
        self._server_key = str(read_key(server.url))

    def steal(self, process: int) -> None:
        """Make the server lose what a process has mapped, and what it maps from here on."""
        self.steals = True
        for name in self._client.mapped_regions():
            if f"-{process}-" in name:
                self._client.unregister_memory(name)

    def service(self, details: Any) -> Any:
        metadata = [
            (key, self._server_key if key.endswith("cineflow-key") else value)
            for key, value in details.invocation_metadata
            if not key.startswith(("user-agent", "grpc-", ":"))
        ]
        if details.method.endswith(_STREAM):
            over = self._channel.stream_stream(details.method)

            def stream(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
                call = over(map(_by_call, requests), metadata=metadata)
                context.add_callback(call.cancel)
                yield from _or_abort(context, call)

            return grpc.stream_stream_rpc_method_handler(stream)
        over = self._channel.unary_unary(details.method)

        def unary(request: bytes, context: Any) -> bytes:
            call = over.future(request, metadata=metadata)
            context.add_callback(call.cancel)
            (response,) = _or_abort(context, iter([call]))
            if details.method.endswith(_REGISTER) and self.steals:
                name = service_pb2.SystemSharedMemoryRegisterRequest.FromString(request).name
                self._client.unregister_memory(name)
                self.stolen += 1
            return response

        return grpc.unary_unary_rpc_method_handler(unary)

    def __enter__(self) -> Middleman:
        self._listening.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.stop(0).wait()
        self._client.close()
        self._channel.close()
        remove(self._key, self._text)


def _by_call(request: bytes) -> bytes:
    asked = service_pb2.ModelInferRequest.FromString(request)
    if "direct" not in asked.parameters:
        return request
    del asked.parameters["direct"]
    return bytes(asked.SerializeToString())


def _or_abort(context: Any, responses: Iterator[Any]) -> Iterator[bytes]:
    try:
        for response in responses:
            yield response.result() if isinstance(response, grpc.Future) else response
    except grpc.RpcError as error:
        context.abort(error.code(), error.details())
    except grpc.FutureCancelledError:  # by the client's side
        context.abort(grpc.StatusCode.CANCELLED, "")
