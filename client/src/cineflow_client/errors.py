"""Every error that this package raises on purpose, under one base class.

Each error says what was wanted, what came, and what to do about it. The names say what happened, so
ruff's N818 (an `Error` suffix) is waived for them.
"""

from __future__ import annotations


class CineflowClientError(Exception):
    """Base class of the client's typed errors.

    Args:
        wanted: What was needed, in plain words ("a frame of 240x320 pixels").
        got: What came instead ("240x319").
        remedy: What the reader can do about it.
    """

    def __init__(self, wanted: str, got: str, remedy: str = "") -> None:
        self.wanted = wanted
        self.got = got
        self.remedy = remedy
        message = f"wanted {wanted}; got {got}"
        super().__init__(f"{message}. {remedy}" if remedy else message)


class UntrainedWeights(UserWarning):
    """A model has random numbers for weights, so its outputs are meaningless."""


class ServerUnavailable(CineflowClientError):  # noqa: N818
    """No server responds at the address, or it is not ready."""


class CertificateUnusable(CineflowClientError):  # noqa: N818
    """A file for mutual TLS is missing or has no PEM, or others can read the private key."""


class ServerRefused(CineflowClientError):  # noqa: N818
    """The server returned an error of another kind."""


class ModelNotFound(CineflowClientError):  # noqa: N818
    """The server does not serve this model, or it is not a cineflow model."""


class FrameRejected(CineflowClientError, ValueError):  # noqa: N818
    """A frame is unusable: wrong rank, type or size, or not finite. The stream continues."""


class FrameDropped(CineflowClientError):  # noqa: N818
    """The stream's policy dropped the frame before it was sent. The stream continues."""


class CardUnavailable(CineflowClientError):  # noqa: N818
    """An array on a card cannot be read: no driver, or the card fails. The stream goes on."""


class SharedMemoryUnavailable(CineflowClientError):  # noqa: N818
    """The server cannot share memory with this process: another machine, or not allowed."""


class StreamBroken(CineflowClientError):  # noqa: N818
    """The stream cannot continue and its state is lost. Open a new one."""


class ServerDied(StreamBroken):
    """The connection ended under a live stream: the server died, or the network failed."""


class ModelUnloaded(StreamBroken):
    """The stream's model was unloaded. The frame was not tracked."""


class ServerStopping(ServerDied):
    """The server is being stopped and said so. The frame was not tracked."""


class RingLost(StreamBroken):
    """The server no longer maps the stream's shared memory. The frame was not tracked."""


class ServerBusy(StreamBroken):
    """The server has no place for one more stream; this one did not start."""


class StreamExpired(StreamBroken):
    """The server dropped the stream, because it was idle for too long."""


class StreamTimeout(StreamBroken):
    """No result in time. The frame may or may not have been tracked, so the stream is closed."""


class StreamClosed(CineflowClientError):  # noqa: N818
    """The stream or the client is already closed."""


class OtherProcess(CineflowClientError):  # noqa: N818
    """A forked child used what its parent opened. The parent's stream is untouched."""


class StreamBusy(CineflowClientError):  # noqa: N818
    """Every slot of the stream is in flight, so the frame was not sent."""


def closed_stream() -> StreamClosed:
    """The error of a stream that was closed."""
    return StreamClosed("an open stream", "one that was closed", "Open a new stream.")
