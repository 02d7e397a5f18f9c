"""The one root of every error that this package raises on purpose.

Each says what was wanted, what came, and what to do about it. The names follow what happened, not
where: ruff's N818 (an `Error` suffix) is waived for them.
"""

from __future__ import annotations


class CineflowClientError(Exception):
    """Root of the client's typed errors.

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


class ServerUnavailable(CineflowClientError):  # noqa: N818
    """Nothing answers at the address, or what answers is not ready."""


class ServerRefused(CineflowClientError):  # noqa: N818
    """The server answered with an error that has no type of its own here."""


class ModelNotFound(CineflowClientError):  # noqa: N818
    """The server does not serve this model, or it is no cineflow model."""


class FrameRejected(CineflowClientError, ValueError):  # noqa: N818
    """A frame is unusable: wrong rank, type or size, or not finite. The stream goes on."""


class SharedMemoryUnavailable(CineflowClientError):  # noqa: N818
    """The server cannot share memory with this process: another machine, or not allowed."""


class StreamBroken(CineflowClientError):  # noqa: N818
    """The stream cannot go on; its state is lost. Open a new one."""


class ServerDied(StreamBroken):
    """The connection ended under a live stream: the server died, or the network failed."""


class StreamExpired(StreamBroken):
    """The server gave up the stream: it was idle for longer than the server keeps one."""


class StreamTimeout(StreamBroken):
    """No answer in time. The frame may or may not have been tracked, so the stream is closed."""


class StreamClosed(CineflowClientError):  # noqa: N818
    """The stream was closed before."""


class StreamBusy(CineflowClientError):  # noqa: N818
    """Every slot of the stream is in flight: the frame was not sent."""
