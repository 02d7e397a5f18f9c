"""Connection: the gRPC channel to one server, and the calls that client and streams make on it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cineflow_client.certificates import Certificates
from cineflow_client.errors import (
    CineflowClientError,
    OtherProcess,
    ServerUnavailable,
    SharedMemoryUnavailable,
    StreamClosed,
)
from cineflow_client.local_key import GRPC_HEADER, read_key
from cineflow_client.ring import orphaned
from cineflow_client.wire import alive_request, error_from_message

#: Messages of any size, and a peer that has gone silent (a half-open connection: a pulled cable, a
#: proxy that hangs) is noticed within 7 s. gRPC's own default never notices. The ping's time-out is
#: an option of its own next to that of keepalive, and without a pool of its own a new channel would
#: inherit the dead connection of an older one in this process.
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # A server that comes back is found within a second, not within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_ADDRESS = re.compile(r"[^/\s]+:[0-9]+")
_ANSWERED = re.compile(r"unknown model|protocol is restricted|unload is not allowed")
#: A server with TLS does not tell a client that it refuses: it closes the connection.
_ABOUT_THE_SERVER = (
    "Start one (`cineflow serve`), or check that this is its gRPC port. A server that was started "
    "with --secure closes the connection of a client without certificates (secure=DIR)."
)
_ABOUT_CERTIFICATES = (
    "Check that a server with --secure runs there (`cineflow serve --secure`), that its CA signed "
    "the client's certificate, and that its certificate has the host of this address."
)
#: Triton's words for a region that a request still holds, and how often it is asked again.
_IN_USE, _IN_USE_STEP_S = "currently in use", 0.05
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


#: A folder of certificates, or their files; None for a plain connection.
Secure = str | os.PathLike[str] | Certificates | None


class Connection:
    """A gRPC channel to one server. Nothing is sent before the first call.

    Args:
        url: "host:port" of the server's gRPC interface.
        timeout_s: Seconds until a call without a response fails.
        secure: For a server with mutual TLS (`cineflow serve --secure`): a folder with ca.crt,
            client.crt and client.key, or `Certificates`. Plain by default.
        credentials: Other gRPC credentials (`grpc.ssl_channel_credentials(...)`).

    Attributes:
        stub: Triton's gRPC stub.

    Raises:
        ServerUnavailable: `url` is not an address host:port.
        CertificateUnusable: A file of `secure` does not do.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        secure: Secure = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.url = url.removeprefix("grpc://")
        self.timeout_s = timeout_s
        if not _ADDRESS.fullmatch(self.url) or not 0 < int(self.url.rpartition(":")[2]) <= 65535:
            raise ServerUnavailable(
                "an address host:port of a server's gRPC interface",
                repr(url),
                "For example 127.0.0.1:8001, the default of `cineflow serve`.",
            )
        if secure is not None:
            files = secure if isinstance(secure, Certificates) else Certificates.of(secure)
            credentials = files.credentials()
        self._secure = credentials is not None
        self._channel = (
            grpc.insecure_channel(self.url, _OPTIONS)
            if credentials is None
            else grpc.secure_channel(self.url, credentials, _OPTIONS)
        )
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._closed = False
        self._process = os.getpid()

    @property
    def is_own(self) -> bool:
        """Whether this process made it. gRPC does not work in a forked child that inherited it."""
        return os.getpid() == self._process

    def _ask(
        self,
        method: Callable[..., Any],
        request: Any,
        *,
        model: str = "the server",
        with_key: bool = False,
        timeout_s: float | None = None,
    ) -> Any:
        """One unary call of the stub.

        Args:
            method: A method of `stub`.
            request: Its protobuf message.
            model: The model that the call is about, for the text of an error.
            with_key: Send the server's key, if it is this user's server on this machine: the call
                is restricted to those (`local_key`).
            timeout_s: Seconds until a call without a response fails; the connection's by default.

        Raises:
            OtherProcess: This process only inherited the connection by a fork.
            StreamClosed: The connection was closed.
            ServerUnavailable: No server responds.
            CineflowClientError: The server refuses; see `wire.error_from_message`.
        """
        if not self.is_own:
            raise OtherProcess(
                "the process that made the client",
                f"process {os.getpid()}, a fork of it",
                "Make a new Client in this process.",
            )
        if self._closed:
            raise StreamClosed("an open client", "one that was closed", "Make a new Client.")
        key = read_key(self.url) if with_key else None
        metadata = [] if key is None else [(GRPC_HEADER, key)]
        try:
            wait_s = self.timeout_s if timeout_s is None else timeout_s
            return method(request, timeout=wait_s, metadata=metadata)
        except grpc.RpcError as error:
            details = error.details() or ""
            # Triton also says UNAVAILABLE for an "unknown model" without a ready version, and for
            # what is restricted.
            if error.code() in _GONE and not _ANSWERED.search(details):
                raise ServerUnavailable(
                    f"a server at {self.url}",
                    f"{error.code().name}: {details}",
                    _ABOUT_CERTIFICATES if self._secure else _ABOUT_THE_SERVER,
                ) from error
            raise error_from_message(details, model) from error

    def require_ready(self, model: str) -> None:
        """Raise `CineflowClientError` unless the server has `model` ready for a new stream.

        Triton calls a model ready whose process has died, so the process is asked as well.
        """
        request = service_pb2.ModelReadyRequest(name=model)
        if not self._ask(self.stub.ModelReady, request, model=model).ready:
            raise ServerUnavailable(f"the model {model!r} ready", "a server that does not have it")
        sequence = secrets.randbits(62) + 1
        self._ask(self.stub.ModelInfer, alive_request(model, sequence))

    def register_memory(self, name: str, byte_size: int) -> None:
        """Make the server map the shared-memory segment /dev/shm/`name` as region `name`.

        Raises:
            SharedMemoryUnavailable: The server cannot map it, or is not allowed to.
            ServerUnavailable: No server responds.
        """
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name=name, key=f"/{name}", offset=0, byte_size=byte_size
        )
        try:
            self._ask(self.stub.SystemSharedMemoryRegister, request, with_key=True)
        except ServerUnavailable:
            raise
        except CineflowClientError as error:
            raise SharedMemoryUnavailable(
                "a server that can map this machine's shared memory",
                error.got,
                'Use transport="grpc" for a server on another machine or of another user. Triton '
                "2.69 and newer need --allow-client-shm=true.",
            ) from error
        self._release_orphans()

    def unregister_memory(self, name: str, *, wait_s: float = 10.0) -> None:
        """Make the server unmap region `name`.

        The server refuses while it still computes a frame of the region, and for a moment after
        the frame's response. It is asked again until `wait_s` seconds are over.

        Raises:
            CineflowClientError: The server refuses, or still uses the region after `wait_s`.
            ServerUnavailable: No server responds.
        """
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        until = time.monotonic() + wait_s
        while True:
            try:
                self._ask(self.stub.SystemSharedMemoryUnregister, request, with_key=True)
                return
            except CineflowClientError as error:
                if _IN_USE not in str(error) or time.monotonic() >= until:
                    raise
                time.sleep(_IN_USE_STEP_S)

    def mapped_regions(self) -> list[str]:
        """Names of the shared-memory regions that the server maps. Raises `CineflowClientError`."""
        request = service_pb2.SystemSharedMemoryStatusRequest()
        return list(self._ask(self.stub.SystemSharedMemoryStatus, request, with_key=True).regions)

    def _release_orphans(self) -> None:
        """Unmap the rings of programs that were killed: the server would keep them for ever.

        Only called after a region of our own was mapped. That proves that the server runs on this
        machine and that the names refer to processes here.
        """
        with contextlib.suppress(CineflowClientError):
            for name in orphaned(self.mapped_regions()):
                with contextlib.suppress(CineflowClientError):  # one in use keeps no other
                    self.unregister_memory(name, wait_s=0)

    def close(self) -> None:
        """Close the channel. Safe to call twice. In a forked child it does nothing."""
        if self.is_own:
            self._closed = True
            self._channel.close()
