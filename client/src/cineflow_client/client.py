"""Client: a connection to one server, on which streams are opened."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from cineflow_client.connection import Connection
from cineflow_client.errors import CineflowClientError
from cineflow_client.metadata import ModelInfo, alias_target, read_model_info
from cineflow_client.stream import Stream, Transport


class Client(Connection):
    """A connection to one server; streams are opened on it. A context manager.

    Nothing is sent before the first call, and every call has a timeout.

    Args:
        url: "host:port" of the server's gRPC interface.
        timeout_s: Seconds until a call without a response fails.
        credentials: gRPC credentials for TLS (`grpc.ssl_channel_credentials(...)`); plain by
            default.

    Raises:
        ServerUnavailable: `url` is not an address host:port.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, credentials=credentials)
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    # -- what the server is ----------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Whether a server responds and all its models are ready; never raises."""
        try:
            return bool(self._ask(self.stub.ServerReady, service_pb2.ServerReadyRequest()).ready)
        except CineflowClientError:
            return False

    def server_version(self) -> str:
        """Triton's version ("2.51.0").

        Raises:
            ServerUnavailable: No server responds.
        """
        metadata = self._ask(self.stub.ServerMetadata, service_pb2.ServerMetadataRequest())
        return str(metadata.version)

    def models(self) -> dict[str, str]:
        """Every model of the server's repository and its state ("READY"; empty: not loaded).

        Raises:
            ServerUnavailable: No server responds.
        """
        index = self._ask(self.stub.RepositoryIndex, service_pb2.RepositoryIndexRequest())
        return {model.name: model.state for model in index.models}

    def model(self, name: str) -> ModelInfo:
        """What the server says about a model; an alias is followed to the model behind it.

        Raises:
            ModelNotFound: It is not served, or it is not a cineflow model.
            ServerUnavailable: No server responds.
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
                with its model when the alias moves to another one.
            transport: "shm" for shared memory (server on this machine), "grpc" for tensors inside
                the messages, "auto" for shared memory where it works.
            slots: How many frames may be in flight at once.
            timeout_s: Seconds until a missing result closes the stream; the client's by default.

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
                "at least one slot", str(slots), "The default of 4 suits a live source."
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

    # -- ending ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every stream and the connection. Safe to call twice."""
        for stream in list(self._streams):
            stream.close()
        super().close()

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
