"""Client: a connection to one server."""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cineflow_client.errors import (
    CineflowClientError,
    ServerUnavailable,
    SharedMemoryUnavailable,
    StreamClosed,
)
from cineflow_client.metadata import ModelInfo, alias_target, read_model_info
from cineflow_client.ring import orphaned
from cineflow_client.stream import Stream, Transport
from cineflow_client.wire import error_from_message

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_ADDRESS = re.compile(r"[^/\s]+:[0-9]+")
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Client:
    """A connection to one server; streams are opened on it. A context manager.

    Nothing is sent before the first call, and every call has a timeout.

    Args:
        url: "host:port" of the server's gRPC interface.
        timeout_s: Seconds until a call without an answer fails.
        credentials: gRPC credentials for TLS (`grpc.ssl_channel_credentials(...)`); plain by
            default.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.url = url.removeprefix("grpc://")
        self.timeout_s = timeout_s
        if not _ADDRESS.fullmatch(self.url) or not 0 < int(self.url.rpartition(":")[2]) <= 65535:
            raise ServerUnavailable(
                "an address host:port of a server's gRPC interface",
                repr(url),
                "For example 127.0.0.1:8001, which `cineflow serve` takes by default.",
            )
        self._channel = (
            grpc.insecure_channel(self.url, _UNLIMITED)
            if credentials is None
            else grpc.secure_channel(self.url, credentials, _UNLIMITED)
        )
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._closed = False

    # -- what the server is ----------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Whether a server answers and all its models are ready; never raises."""
        try:
            return bool(self._ask(self.stub.ServerReady, service_pb2.ServerReadyRequest()).ready)
        except CineflowClientError:
            return False

    def server_version(self) -> str:
        """Triton's version ("2.51.0").

        Raises:
            ServerUnavailable: Nothing answers.
        """
        metadata = self._ask(self.stub.ServerMetadata, service_pb2.ServerMetadataRequest())
        return str(metadata.version)

    def models(self) -> dict[str, str]:
        """Every model of the server's repository and its state ("READY"; empty: not loaded).

        Raises:
            ServerUnavailable: Nothing answers.
        """
        index = self._ask(self.stub.RepositoryIndex, service_pb2.RepositoryIndexRequest())
        return {model.name: model.state for model in index.models}

    def model(self, name: str) -> ModelInfo:
        """What the server says about a model; an alias is followed to the model it stands for.

        Raises:
            ModelNotFound: It is not served, or it is no cineflow model.
            ServerUnavailable: Nothing answers.
        """
        config = self._config(name)
        target = alias_target(config)
        return read_model_info(name, self._config(target) if target else config)

    # -- streaming -------------------------------------------------------------------------------

    def stream(
        self,
        model: str,
        transport: Transport = "auto",
        *,
        slots: int = 4,
        timeout_s: float | None = None,
    ) -> Stream:
        """Open a stream of frames to a model.

        Args:
            model: A served name or an alias. An alias is followed once, here: the stream stays
                with its model when the alias moves on.
            transport: "shm" for shared memory (server on this machine), "grpc" for tensors inside
                the messages, "auto" for shared memory where it works.
            slots: How many frames may be in flight at once.
            timeout_s: Seconds until a missing answer closes the stream; the client's by default.

        Raises:
            ModelNotFound: As `model`.
            ServerUnavailable: As `model`.
        """
        if transport not in ("auto", "shm", "grpc"):
            raise CineflowClientError(
                'a transport of "auto", "shm", "grpc"',
                repr(transport),
                '"auto" takes shared memory where it works.',
            )
        if slots < 1:
            raise CineflowClientError(
                "at least one slot", str(slots), "4, the default, suits a live source."
            )
        opened = Stream(
            self,
            self.model(model),
            transport=transport,
            slots=slots,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
        )
        self._streams.add(opened)
        return opened

    def register_memory(self, name: str, byte_size: int) -> None:
        """Make the server map the shared-memory segment /dev/shm/`name` as region `name`.

        Raises:
            SharedMemoryUnavailable: It cannot, or must not.
        """
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name=name, key=f"/{name}", offset=0, byte_size=byte_size
        )
        try:
            self._ask(self.stub.SystemSharedMemoryRegister, request)
        except ServerUnavailable:
            raise
        except CineflowClientError as error:
            raise SharedMemoryUnavailable(
                "a server that can map this machine's shared memory",
                error.got,
                'Use transport="grpc" for a server elsewhere; Triton 2.69 and newer want '
                "--allow-client-shm=true.",
            ) from error
        self._release_orphans()

    def unregister_memory(self, name: str) -> None:
        """Make the server unmap region `name`; raises as the server answers."""
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        self._ask(self.stub.SystemSharedMemoryUnregister, request)

    def _release_orphans(self) -> None:
        """Unmap the rings of programs that were killed: the server would keep them for ever.

        Only after a region of our own was mapped: that proves that server and names are local.
        """
        with contextlib.suppress(CineflowClientError):
            status = self._ask(
                self.stub.SystemSharedMemoryStatus, service_pb2.SystemSharedMemoryStatusRequest()
            )
            for name in orphaned(status.regions):
                self.unregister_memory(name)

    # -- ending ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every stream and the connection. Safe to call twice."""
        for stream in list(self._streams):
            stream.close()
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _config(self, name: str) -> Any:
        request = service_pb2.ModelConfigRequest(name=name)
        return self._ask(self.stub.ModelConfig, request, model=name).config

    def _ask(self, method: Callable[..., Any], request: Any, *, model: str = "the server") -> Any:
        """One unary call with a timeout and typed errors."""
        if self._closed:
            raise StreamClosed("an open client", "one that was closed", "Make a new Client.")
        try:
            return method(request, timeout=self.timeout_s)
        except grpc.RpcError as error:
            details = error.details() or ""
            # Triton says UNAVAILABLE for an "unknown model" without a ready version, too.
            if error.code() in _GONE and "unknown model" not in details:
                raise ServerUnavailable(
                    f"a server at {self.url}",
                    f"{error.code().name}: {details}",
                    "Start one (`cineflow serve`), or check the address: the port is gRPC's.",
                ) from error
            raise error_from_message(details, model) from error
