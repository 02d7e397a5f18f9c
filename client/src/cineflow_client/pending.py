"""Pending: a frame in flight, whose result will come."""

from __future__ import annotations

import threading
from typing import Protocol

from cineflow_client.errors import CineflowClientError, StreamTimeout
from cineflow_client.served import Result
from cineflow_client.wire import Step


class Owner(Protocol):
    """What a frame in flight asks of its stream."""

    timeout_s: float

    def grace_s(self, wait_s: float) -> float:
        """How much longer a result that did not come within `wait_s` may be waited for."""

    def require_own_process(self) -> None:
        """Raise `OtherProcess` in a process that only inherited the stream."""

    def fail(self, error: CineflowClientError) -> None:
        """End the stream with `error`, which settles every frame in flight."""


class Pending:
    """A frame in flight.

    Attributes:
        index: Number of the frame as the caller gave it, or None.
    """

    def __init__(self, stream: Owner, request_id: str, step: Step, sent_at: float) -> None:
        self.index = step.index
        self._stream = stream
        self._request_id = request_id
        self._step = step
        self._sent_at = sent_at
        self._done = threading.Event()
        self._result: Result | None = None
        self._error: Exception | None = None

    def done(self) -> bool:
        """Whether the result or an error has arrived."""
        return self._done.is_set()

    def result(self, timeout_s: float | None = None) -> Result:
        """Wait for the result.

        Args:
            timeout_s: Seconds to wait from now. By default it is the stream's timeout, and the time
                does not run while the stream is being resumed.

        Raises:
            FrameRejected: The server could not use the frame; the stream continues.
            StreamTimeout: No result in time; the stream is closed.
            StreamBroken: The stream ended before the result came (ServerDied, StreamExpired).
            SharedMemoryUnavailable: transport="shm" was asked for and is not possible.
            OtherProcess: This process only inherited the stream by a fork.
        """
        self._stream.require_own_process()
        wait_s = self._stream.timeout_s if timeout_s is None else timeout_s
        left_s = wait_s
        while not self._done.wait(left_s):
            left_s = self._stream.grace_s(wait_s) if timeout_s is None else 0.0
            if left_s <= 0:
                self._stream.fail(
                    StreamTimeout(
                        f"a result within {wait_s:g} s",
                        "none",
                        "The server hangs or is overloaded. Open a new stream.",
                    )
                )
                left_s = wait_s
        if self._error is not None:
            raise self._error
        assert self._result is not None  # done without an error
        return self._result

    def _settle(self, result: Result | None, error: Exception | None) -> None:
        self._result, self._error = result, error
        self._done.set()
