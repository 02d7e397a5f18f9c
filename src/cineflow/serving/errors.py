"""The errors of serving, each with its own type."""

from __future__ import annotations

import json

from cineflow.errors import CineflowError, DeviceError, EngineError, ServerError


class ServerNotFoundError(ServerError):
    """tritonserver is neither on PATH nor installed."""


class ServerInstallError(ServerError):
    """The server could not be installed, or this Python cannot run its models."""


class PortTakenError(ServerError):
    """A port that was asked for is in use by another process."""


class AddressUnusableError(ServerError):
    """An address does not resolve, is not one of this machine, or does not allow listening."""


class SharedMemoryFullError(ServerError):
    """The shared memory of this machine or container is too small for the models to serve."""


class ServerDiedError(ServerError):
    """The server process ended by itself.

    Attributes:
        exit_code: Its exit status. A negative one is the signal that ended it; None is unknown.
        log_tail: The last lines that it wrote.
    """

    def __init__(
        self, wanted: str, got: str, remedy: str = "", *, exit_code: int | None, log_tail: str
    ) -> None:
        super().__init__(wanted, got, remedy)
        self.exit_code = exit_code
        self.log_tail = log_tail


class ServerTimeoutError(ServerError):
    """The server runs, but was not ready in time."""


class ServerStoppingError(ServerError):
    """A frame came while the server is being stopped; it was not tracked."""


class PlacesTakenError(ServerError):
    """A stream wants to start, and the server already keeps as many as it has places for."""


class SequenceTakenError(ServerError):
    """A sequence id is to start that is another live stream's."""


class StreamGoneError(ServerError):
    """A frame belongs to a sequence that the server does not know, or no longer knows."""


class CertificateError(ServerError):
    """A file of mutual TLS is missing, unusable or open to other users."""


class UnprotectedError(ServerError):
    """A server would be reachable by other machines without TLS, and nobody asked for that."""


class GpuError(ServerError):
    """A card that was asked for is not there, or has too little free memory."""


def error_text(error: CineflowError) -> str:
    """An error as text: its type, and its parts as JSON. `cineflow_client.wire` reads it."""
    parts = {"wanted": error.wanted, "got": error.got, "remedy": error.remedy}
    # The protocol has one name for what an engine cannot do, whether a card is the cause or not.
    kind = EngineError if isinstance(error, DeviceError) else type(error)
    return f"{kind.__name__}: {json.dumps(parts)}"
