"""Pending: a frame in flight, whose result will come."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Protocol

from cineflow_client.errors import CineflowClientError, StreamTimeout
from cineflow_client.served import Result
from cineflow_client.wire import Step


class Owner(Protocol):
    """What a frame in flight asks of its stream."""

    timeout_s: float

    def lead(self, pending: Pending, wait_s: float) -> None:
        """Read responses in this thread until a frame has its own, where that is possible."""

    def grace_s(self, wait_s: float) -> float:
        """How much longer a result that did not come within `wait_s` may be waited for."""

    def require_own_process(self) -> None:
        """Raise `OtherProcess` in a process that only inherited the stream."""

    def fail(self, error: CineflowClientError) -> None:
        """End the stream with `error`, which settles every frame in flight."""


class Pending:
    """A frame in flight. `result()` waits for its result, and so does `await`.

    Attributes:
        index: Number of the frame as the caller gave it, or None.
        request_id: Of its request.
        step: What is sent.
        sent_at: When the caller sent it (`time.perf_counter`).
    """

    def __init__(self, stream: Owner, request_id: str, step: Step, sent_at: float) -> None:
        self.index = step.index
        self.request_id = request_id
        self.step = step
        self.sent_at = sent_at
        self._stream = stream
        self._lock = threading.Lock()  # of the callbacks
        self._callbacks: list[Callable[[Pending], None]] = []
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
            FrameDropped: The stream's policy dropped the frame; the stream continues.
            StreamTimeout: No result in time; the stream is closed.
            StreamBroken: The stream ended before the result came (ServerDied, StreamExpired).
            SharedMemoryUnavailable: transport="shm" was asked for and is not possible.
            OtherProcess: This process only inherited the stream by a fork.
        """
        self._stream.require_own_process()
        wait_s = self._stream.timeout_s if timeout_s is None else timeout_s
        left_s = wait_s
        while not self._wait(left_s):
            left_s = self._grace_s(wait_s, final=timeout_s is not None)
        return self._outcome()

    def _wait(self, wait_s: float) -> bool:
        """Whether it is done within that time."""
        until = time.monotonic() + wait_s
        if not self._done.is_set():
            self._stream.lead(self, wait_s)
        return self._done.is_set() or self._done.wait(max(0.0, until - time.monotonic()))

    def add_done_callback(self, call: Callable[[Pending], None]) -> None:
        """Have `call(self)` called when the result or an error is there; at once if it is.

        It is called by the thread that receives results, which must not be kept waiting: hand
        longer work to a thread of your own. What it raises goes to the log of that thread
        (`threading.excepthook`) and nowhere else.
        """
        with self._lock:
            if not self._done.is_set():
                self._callbacks.append(call)
                return
        call(self)

    def __await__(self) -> Generator[Any, None, Result]:
        """As `result()`, in an asyncio task, whose loop goes on meanwhile."""
        return self._arrival().__await__()

    async def _arrival(self) -> Result:
        self._stream.require_own_process()
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: Pending) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(arrived.set)

        self.add_done_callback(tell)
        left_s = wait_s = self._stream.timeout_s
        while not self._done.is_set():
            try:
                await asyncio.wait_for(arrived.wait(), left_s)
            except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
                left_s = self._grace_s(wait_s, final=False)
        return self._outcome()

    def _grace_s(self, wait_s: float, *, final: bool) -> float:
        """Seconds to wait on after a wait in vain. Without any left, the stream ends."""
        left_s = 0.0 if final else self._stream.grace_s(wait_s)
        if left_s > 0:
            return left_s
        self._stream.fail(
            StreamTimeout(
                f"a result within {wait_s:g} s",
                "none",
                "The server hangs or is overloaded. Open a new stream.",
            )
        )
        return wait_s

    def _outcome(self) -> Result:
        if self._error is not None:
            raise self._error
        assert self._result is not None  # done without an error
        return self._result

    def settle(self, result: Result | None, error: Exception | None) -> None:
        """Hand over the result or the error. For the stream."""
        with self._lock:
            if self._done.is_set():
                return
            self._result, self._error = result, error
            self._done.set()
            callbacks, self._callbacks = self._callbacks, []
        for call in callbacks:
            try:
                call(self)
            except Exception as raised:  # by the caller's code: the other frames still come
                thread = threading.current_thread()
                about = (type(raised), raised, raised.__traceback__, thread)
                threading.excepthook(threading.ExceptHookArgs(about))
