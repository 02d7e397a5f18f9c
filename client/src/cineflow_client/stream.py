"""Stream: one live sequence of frames, from its start to its end.

A frame goes out through a bidirectional gRPC stream and its result comes back on the same; a
reader thread hands results over. At most `slots` frames are in flight, so nothing queues without
bound: `push` waits for its own result, `submit` refuses when every slot is taken.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import grpc
import numpy as np

from cineflow_client.errors import (
    CineflowClientError,
    ServerDied,
    SharedMemoryUnavailable,
    StreamBroken,
    StreamBusy,
    StreamClosed,
    StreamTimeout,
)
from cineflow_client.frames import checked_frame
from cineflow_client.metadata import ModelInfo
from cineflow_client.result import Result
from cineflow_client.ring import SharedRing
from cineflow_client.wire import (
    Step,
    end_request,
    error_from_message,
    frame_request,
    read_result,
)

if TYPE_CHECKING:
    from cineflow_client.client import Client

Transport = Literal["auto", "shm", "grpc"]
_END_ID = "end"
_END_TIMEOUT_S = 2.0


class Pending:
    """A frame in flight: its result will come.

    Attributes:
        index: Number of the frame as the caller gave it, or None.
    """

    def __init__(self, stream: Stream, step: Step, sent_at: float) -> None:
        self.index = step.index
        self._stream = stream
        self._step = step
        self._sent_at = sent_at
        self._done = threading.Event()
        self._result: Result | None = None
        self._error: CineflowClientError | None = None

    def done(self) -> bool:
        """Whether the result, or an error, is there."""
        return self._done.is_set()

    def result(self, timeout_s: float | None = None) -> Result:
        """Wait for the result.

        Args:
            timeout_s: Seconds to wait from now; the stream's timeout by default.

        Raises:
            FrameRejected: The server could not use the frame; the stream goes on.
            StreamTimeout: No answer in time; the stream is closed.
            StreamBroken: The stream ended before the answer came (ServerDied, StreamExpired).
        """
        wait_s = self._stream.timeout_s if timeout_s is None else timeout_s
        if not self._done.wait(wait_s):
            self._stream.fail(
                StreamTimeout(
                    f"a result within {wait_s:g} s",
                    "none",
                    "The server hangs, is overloaded, or serves as many streams as it has slots "
                    "for. Open a new stream.",
                )
            )
        if self._error is not None:
            raise self._error
        assert self._result is not None  # done without an error
        return self._result

    def _settle(self, result: Result | None, error: CineflowClientError | None) -> None:
        self._result, self._error = result, error
        self._done.set()


class Stream:
    """One sequence of frames of one size. Made by `Client.stream`; a context manager.

    Thread-safe for one sender; results may be awaited anywhere.

    Attributes:
        model: The model that it is bound to.
        sequence_id: The sequence's id at the server.
        timeout_s: Seconds until a missing answer closes the stream.
        transport: "shm" or "grpc"; "auto" until the first frame has settled it.
        transport_reason: Why "auto" did not take shared memory; empty where it did.
    """

    def __init__(
        self,
        client: Client,
        model: ModelInfo,
        *,
        transport: Transport,
        slots: int,
        timeout_s: float,
    ) -> None:
        self.model = model
        self.sequence_id = secrets.randbits(62) + 1  # 0 is refused by the server
        self.timeout_s = timeout_s
        self.transport: Transport = transport
        self.transport_reason = ""
        self._client = client
        self._slots = slots
        self._ring: SharedRing | None = None
        self._size: tuple[int, int] | None = None
        self._started = False
        self._counter = 0
        self._lock = threading.Condition()
        self._free = list(range(slots))
        self._pending: dict[str, Pending] = {}
        self._ended = threading.Event()
        self._broken: CineflowClientError | None = None
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()  # at most slots + the end
        self._call: Any = client.stub.ModelStreamInfer(_until_none(self._outbox))
        self._reader = threading.Thread(target=self._read, name="cineflow-stream", daemon=True)
        self._reader.start()
        self._at_exit = weakref.finalize(self, _abandon, self._call, self._outbox)

    # -- sending ---------------------------------------------------------------------------------

    def push(
        self,
        frame: np.ndarray,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
    ) -> Result:
        """Track one frame and wait for its result.

        Args:
            frame: Grey levels 0..255, uint8 or float32 [H, W].
            index: The frame's number; it must grow. The server counts from 0 by default. Leave
                numbers out for frames that you dropped, and the result names the pair it tracked.
            beat: Whether an R wave came with this frame: displacement refers to it from here on.
                None: there are no triggers, and end-diastole is found in the motion, some frames
                late, after about two beats (`Result.beat_info` says how).
            time_ms: When the frame was taken, so that absurd heart rates are seen as such; for
                every frame of a stream or for none.

        Raises:
            FrameRejected: The frame is unusable; the stream goes on with the next.
            ServerDied: The server ended, or cannot be reached any more.
            StreamExpired: The server dropped the stream.
            StreamTimeout: No answer in time.
            StreamClosed: The stream was closed.
            SharedMemoryUnavailable: transport="shm" was asked for and is not possible.
        """
        started_at = time.perf_counter()
        sent = self.submit(frame, index, beat=beat, time_ms=time_ms, wait_s=self.timeout_s)
        result = sent.result()
        return replace(result, latency_ms=1e3 * (time.perf_counter() - started_at))

    def submit(
        self,
        frame: np.ndarray,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
        wait_s: float = 0.0,
    ) -> Pending:
        """Send one frame and return at once; for live sources that must not be held up.

        Args:
            frame: As for `push`, as `index`, `beat` and `time_ms`.
            index: See `push`.
            beat: See `push`.
            time_ms: See `push`.
            wait_s: Seconds to wait for a free slot.

        Raises:
            StreamBusy: Every slot is in flight; the frame was not sent. Drop it, or wait.
            CineflowClientError: As `push`.
        """
        sent_at = time.perf_counter()
        array = checked_frame(frame, self.model, self._size)
        self._raise_if_over()
        if self._size is None:
            self._settle_transport((array.shape[0], array.shape[1]))
        with self._lock:
            if not self._lock.wait_for(lambda: self._free or self._broken, wait_s):
                raise StreamBusy(
                    "a free slot",
                    f"{self._slots} frames in flight",
                    "Drop this frame, wait longer (wait_s), or open the stream with more slots.",
                )
            self._raise_if_over()
            slot = self._free.pop()
            request_id = str(self._counter)
            self._counter += 1
            step = Step(array, index, beat, time_ms, slot)
            pending = self._pending[request_id] = Pending(self, step, sent_at)
            start, self._started = not self._started, True
        self._outbox.put(
            frame_request(
                self.model.served_name, self.sequence_id, request_id, step, self._ring, start=start
            )
        )
        return pending

    def _settle_transport(self, size: tuple[int, int]) -> None:
        """Before the first frame: map the ring at the server, or fall back to gRPC tensors."""
        if self.transport != "grpc":
            try:
                self._ring = SharedRing(self._slots, size, self._client.register_memory)
                self.transport = "shm"
            except SharedMemoryUnavailable as error:
                if self.transport == "shm":
                    raise
                self.transport, self.transport_reason = "grpc", str(error)
        self._size = size

    # -- receiving -------------------------------------------------------------------------------

    def _read(self) -> None:
        """The reader thread: hands every answer to its frame, and the end of the call to all."""
        try:
            for response in self._call:
                self._deliver(response)
            reason = "the server closed the stream"
        except grpc.RpcError as error:
            reason = f"{error.code().name}: {error.details()}"
        except Exception as error:  # a bug here must not leave a caller waiting
            reason = f"{type(error).__name__}: {error}"
        self.fail(
            ServerDied(
                "a live connection to the server",
                reason,
                "Start the server again and open a new stream; displacement starts from a new "
                "reference frame.",
            )
        )
        self._ended.set()

    def _deliver(self, response: Any) -> None:
        answer = response.infer_response
        if answer.id == _END_ID:
            self._ended.set()
            return
        with self._lock:
            pending = self._pending.pop(answer.id, None)
        if pending is None:
            return
        result, error = None, None
        if response.error_message:
            error = error_from_message(response.error_message, self.model.served_name)
        else:
            try:
                elapsed_ms = 1e3 * (time.perf_counter() - pending._sent_at)
                result = read_result(answer, pending._step, self._ring, elapsed_ms)
            except CineflowClientError as refused:
                error = refused
        with self._lock:
            self._free.append(pending._step.slot)
            self._lock.notify()
        pending._settle(result, error)
        if isinstance(error, StreamBroken):
            self.fail(error)

    # -- ending ----------------------------------------------------------------------------------

    def fail(self, error: CineflowClientError) -> None:
        """End the stream with `error`: every frame in flight gets it, and every later call."""
        with self._lock:
            if self._broken is None:
                self._broken = error
            waiting, self._pending = list(self._pending.values()), {}
            self._lock.notify_all()
        for pending in waiting:
            pending._settle(None, self._broken)
        self._call.cancel()

    def close(self) -> None:
        """End the sequence at the server and release everything. Safe to call twice.

        Never raises: a server that is gone has nothing left to release.
        """
        if not self._at_exit.alive:
            return
        if self._started and self._broken is None:
            name = self.model.served_name
            self._outbox.put(end_request(name, self.sequence_id, _END_ID, start=False))
            self._ended.wait(min(_END_TIMEOUT_S, self.timeout_s))
        self.fail(StreamClosed("an open stream", "one that was closed", "Open a new stream."))
        self._at_exit()
        self._reader.join(_END_TIMEOUT_S)
        ring, self._ring = self._ring, None
        if ring is not None:
            with contextlib.suppress(CineflowClientError):
                self._client.unregister_memory(ring.name)
            ring.close()

    def _raise_if_over(self) -> None:
        if self._broken is not None:
            raise self._broken

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _until_none(outbox: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """The requests of an outbox until it yields None."""
    return iter(outbox.get, None)


def _abandon(call: Any, outbox: queue.SimpleQueue[Any]) -> None:
    """End a gRPC call and the thread that feeds it."""
    outbox.put(None)
    call.cancel()
