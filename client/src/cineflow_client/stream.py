"""Stream: one live sequence of frames, from its start to its end.

A frame goes out through a bidirectional gRPC stream and its result comes back on the same stream. A
reader thread hands the results over. At most `slots` frames are in flight, so the queue is bounded:
`push` waits for its own result, and `submit` refuses a frame while every slot is taken.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Literal

import grpc
import numpy as np

from cineflow_client.connection import Connection
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    OtherProcess,
    ServerBusy,
    ServerDied,
    ServerStopping,
    SharedMemoryUnavailable,
    StreamBroken,
    StreamBusy,
    StreamClosed,
)
from cineflow_client.frames import checked_arrays, checked_frame, require_numbers
from cineflow_client.link import Link, ring_parts
from cineflow_client.metadata import ModelInfo
from cineflow_client.pending import Pending
from cineflow_client.served import READINGS, Result, stream_outputs
from cineflow_client.wire import (
    Step,
    end_request,
    error_from_message,
    frame_request,
    names_a_lost_region,
    read_result,
    watch_request,
)

Transport = Literal["auto", "shm", "grpc"]
_END_ID = "end"
_END_TIMEOUT_S = 2.0
#: What a lock can wait at most; it refuses more, and infinity.
_LONGEST_WAIT_S = threading.TIMEOUT_MAX / 2


class Stream:
    """One sequence of frames of one size. Made by `Client.stream`; a context manager.

    Frames may be sent from any thread, and leave in the order in which they took their turn.

    Attributes:
        model: The model that it is bound to.
        sequence_id: The sequence's id at the server.
        timeout_s: Seconds until a missing result closes the stream.
        transport: "shm" or "grpc"; "auto" until the first frame is sent.
        transport_reason: Why "auto" did not take shared memory; empty if it did.
    """

    def __init__(
        self,
        connection: Connection,
        model: ModelInfo,
        *,
        transport: Transport,
        slots: int,
        timeout_s: float,
        spacing_mm: tuple[float, ...] | None,
        readings: tuple[str, ...],
    ) -> None:
        self.model = model
        self.sequence_id = secrets.randbits(62) + 1  # 0 is refused by the server
        self.timeout_s = timeout_s
        self.transport: Transport = transport
        self.transport_reason = ""
        self._slots = slots
        self._size: tuple[int, ...] | None = None
        self._at_start = {}
        if spacing_mm is not None:
            self._at_start["spacing_mm"] = _spacing(spacing_mm, model.frame_rank)
        self._wanted = _wanted_outputs(model, readings)
        self._started = False  # whether a request has begun the sequence
        self._settled = False  # whether that request has shown how frames travel
        self._dark = True  # every frame so far was black, so a scale of 0..1 can still show
        self._counter = 0
        self._round_trip_us = 0  # of the last frame, until the next one tells the server
        self._lock = threading.Condition()
        self._free = list(range(slots))
        self._pending: dict[str, Pending] = {}
        self._ended = threading.Event()
        self._broken: CineflowClientError | None = None
        self._closed: StreamClosed | None = None  # set first, while frames in flight still end
        self._link = Link(connection)
        # The thread does not hold the stream, so that one that is dropped goes, and its ring too.
        self._reader = threading.Thread(
            target=_read, args=(weakref.ref(self), self._link), name="cineflow-stream", daemon=True
        )
        self._reader.start()
        self._hang_up = weakref.finalize(self, self._link.hang_up)

    # -- sending ---------------------------------------------------------------------------------

    def push(
        self,
        frame: np.ndarray,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
        given: Mapping[str, np.ndarray] | None = None,
    ) -> Result:
        """Send one frame and wait for its result.

        Args:
            frame: Grey levels in the range of the model's feed (0..255), uint8 or float32 [H, W];
                [D, H, W] for models of volumes.
            index: The frame's number; it must grow. The server counts from 0 by default. Skip the
                numbers of dropped frames, and the result names the pair that was tracked.
            beat: Whether an R wave came with this frame. True makes it the reference frame of the
                displacement from here on. None means that there are no triggers: end-diastole is
                found in the motion, some frames late, after about two beats (`Result.beat_info`).
            time_ms: When the frame was taken, so that impossible heart rates are noticed. Give it
                for every frame of a stream or for none.
            given: The model's further inputs by name: those `at_start` with the first frame, the
                others with every frame.

        Raises:
            FrameRejected: The frame is unusable; the stream continues with the next one.
            ServerDied: The server ended, or can no longer be reached.
            StreamExpired: The server dropped the stream.
            StreamTimeout: No result in time.
            StreamBusy: No turn among threads, or no free slot, within the stream's timeout.
            StreamClosed: The stream was closed.
            SharedMemoryUnavailable: transport="shm" was asked for and is not possible.
        """
        started_at = time.perf_counter()
        sent = self.submit(
            frame, index, beat=beat, time_ms=time_ms, given=given, wait_s=self.timeout_s
        )
        result = sent.result()
        return replace(result, latency_ms=1e3 * (time.perf_counter() - started_at))

    def submit(
        self,
        frame: np.ndarray,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
        given: Mapping[str, np.ndarray] | None = None,
        wait_s: float = 0.0,
    ) -> Pending:
        """Send one frame and return at once; for live sources that must not wait.

        Args:
            frame: See `push`.
            index: See `push`.
            beat: See `push`.
            time_ms: See `push`.
            given: See `push`.
            wait_s: Seconds to wait for a turn among threads and a free slot, together; 0 does not
                wait.

        Raises:
            StreamBusy: Every slot is in flight or another thread has its turn, and the frame was
                not sent. Drop it, or wait.
            CineflowClientError: As `push`.
        """
        self.require_own_process()
        sent_at = time.perf_counter()
        until = sent_at + min(max(wait_s, 0.0), _LONGEST_WAIT_S)
        if not self._link.sending.acquire(timeout=max(until - time.perf_counter(), 0.0)):
            raise StreamBusy(
                "a turn to send",
                "another thread that sends, or waits for a free slot",
                "Drop this frame, wait longer (wait_s), or send from one thread.",
            )
        try:
            return self._send(frame, index, beat, time_ms, dict(given or {}), sent_at, until)
        finally:
            self._link.sending.release()

    def _send(
        self,
        frame: np.ndarray,
        index: int | None,
        beat: bool | None,
        time_ms: float | None,
        given: dict[str, np.ndarray],
        sent_at: float,
        until: float,
    ) -> Pending:
        """Check, claim a slot and send, one frame at a time."""
        array = checked_frame(frame, self.model, self._size, dark=self._dark)
        require_numbers(index, beat, time_ms)
        arrays = self._checked_given(given, array.shape)
        pending = self._claim_slot(array, arrays, index, beat, time_ms, sent_at, until)
        self._size = array.shape
        self._dark = self._dark and not array.any()
        if self._settled:
            self._link.send(self._request(pending))
        else:  # the caller may write to its array again before this one's turn comes
            pending._step = replace(pending._step, frame=array.copy())
            self._link.send(partial(self._first_request, pending))
        return pending

    def _checked_given(
        self, given: Mapping[str, np.ndarray], shape: tuple[int, ...]
    ) -> dict[str, np.ndarray]:
        """The further inputs of this frame. Those that come once are kept for the first request."""
        feed = self.model.spec["feed"]
        not_now = {*feed["inputs"], *(() if self._size is None else feed["at_start"])}
        now = [item for item in self.model.spec["inputs"] if item["name"] not in not_now]
        sizes = self.model.axis_sizes(shape)
        arrays = checked_arrays(self.model.served_name, now, given, sizes)
        once = {name: arrays.pop(name).copy() for name in feed["at_start"] if name in arrays}
        self._at_start |= once
        return arrays

    def _claim_slot(
        self,
        frame: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        index: int | None,
        beat: bool | None,
        time_ms: float | None,
        sent_at: float,
        until: float,
    ) -> Pending:
        """A free slot for one frame. From here on, the end of the stream also ends this frame."""
        with self._lock:
            left_s = max(until - time.perf_counter(), 0.0)
            if not self._lock.wait_for(lambda: self._free or self._broken or self._closed, left_s):
                raise StreamBusy(
                    "a free slot",
                    f"{self._slots} frames in flight",
                    "Drop this frame, wait longer (wait_s), or open the stream with more slots.",
                )
            if ended := self._broken or self._closed:
                raise ended
            step = Step(frame, index, beat, time_ms, self._free.pop(), arrays)
            request_id = str(self._counter)
            self._counter += 1
            pending = self._pending[request_id] = Pending(self, request_id, step, sent_at)
        return pending

    def _free_slot(self, pending: Pending) -> None:
        with self._lock:
            self._pending.pop(pending._request_id, None)
            self._free.append(pending._step.slot)
            self._lock.notify()

    def _request(self, pending: Pending) -> Any:
        """The message for a frame; one that travels by shared memory is put into its slot."""
        step, ring = pending._step, self._link.ring if self.transport == "shm" else None
        pending._start = not self._started
        if pending._start:
            step = replace(step, arrays={**step.arrays, **self._at_start})
            name, own_id = self.model.served_name, secrets.randbits(62) + 1
            self._link.watch(watch_request(name, self.sequence_id, own_id))
        try:
            if ring is not None:
                ring.put_frame(step.slot, step.frame)
            request = frame_request(
                self.model.served_name,
                self.sequence_id,
                pending._request_id,
                step,
                self._wanted,
                ring,
                start=pending._start,
            )
        except BaseException as error:  # nothing was sent: the next frame may use the slot
            self._free_slot(pending)
            raise (self._broken or error) from None
        self._started = True
        if self._round_trip_us:  # of the last frame: the server's metrics cannot know it otherwise
            request.parameters["round_trip_us"].int64_param = self._round_trip_us
            self._round_trip_us = 0
        return request

    def _first_request(self, pending: Pending) -> Any | None:
        """The message for a frame that was submitted before the transport was settled.

        Runs in the thread that feeds the call: having the server map the ring takes a round trip,
        which `submit` must not wait for.
        """
        try:
            self._settle_transport(pending._step.frame.shape)
        except CineflowClientError as error:
            self.fail(error)
            return None
        try:
            request = self._request(pending)
        except Exception as error:  # also after a bug, the caller must not wait for ever
            pending._settle(None, error)
            return None
        self._settled = True
        return request

    def _settle_transport(self, size: tuple[int, ...]) -> None:
        """Have the server map the ring, or fall back to gRPC tensors."""
        if self.transport == "grpc" or self._link.ring is not None:
            return
        try:
            self._link.open_ring(self._slots, ring_parts(self.model, self._wanted, size))
            self.transport = "shm"
        except SharedMemoryUnavailable as error:
            if self.transport == "shm":
                raise
            self.transport, self.transport_reason = "grpc", str(error)

    # -- receiving -------------------------------------------------------------------------------

    def _deliver(self, response: Any) -> None:
        inferred = response.infer_response
        if inferred.id == _END_ID:
            self._ended.set()
            if self._broken is not None:
                self._link.hang_up()
            return
        with self._lock:  # it stays listed until it is read: the end of the stream settles it too
            pending = self._pending.get(inferred.id)
        if pending is None:
            return
        result: Result | None = None
        error: CineflowClientError | None = None
        if names_a_lost_region(response.error_message):
            error = self._without_ring(pending, response.error_message)
        elif response.error_message:
            error = error_from_message(response.error_message, self.model.served_name)
        else:
            try:
                elapsed_ms = 1e3 * (time.perf_counter() - pending._sent_at)
                self._round_trip_us = round(1e3 * elapsed_ms)
                result = read_result(
                    inferred, pending._step, self.model.spec, self._link.ring, elapsed_ms
                )
            except CineflowClientError as refused:
                error = refused
        self._free_slot(pending)
        pending._settle(result, error)
        if isinstance(error, (ServerStopping, ServerBusy)):  # Triton still counts the sequence
            self._break(error)
            name = self.model.served_name
            self._link.send(end_request(name, self.sequence_id, _END_ID, start=False))
        elif isinstance(error, StreamBroken):
            self.fail(error)

    def _without_ring(self, pending: Pending, message: str) -> FrameRejected:
        """The server has lost the ring: the frames from here on travel inside the messages."""
        reason = f"a server that no longer maps this stream's memory ({message})"
        if pending._start:  # no frame has reached the model
            self._started = False
        self.transport, self.transport_reason = "grpc", reason
        return FrameRejected(
            "a server that maps the stream's shared memory",
            message,
            "The stream goes on with gRPC tensors. Send this frame again, or leave it out.",
        )

    # -- ending ----------------------------------------------------------------------------------

    def require_own_process(self) -> None:
        """Raise `OtherProcess` in a process that only inherited the stream by a fork."""
        if not self._link.is_own:
            raise OtherProcess(
                "the process that opened the stream",
                f"process {os.getpid()}, a fork of it",
                "Make a new Client in this process and open a stream of its own.",
            )

    def fail(self, error: CineflowClientError) -> None:
        """End the stream with `error`, which every frame in flight and every later call raises."""
        self._break(error)
        self._link.hang_up()

    def _break(self, error: CineflowClientError) -> None:
        with self._lock:
            if self._broken is None:
                self._broken = error
            waiting, self._pending = list(self._pending.values()), {}
            self._lock.notify_all()
        for pending in waiting:
            pending._settle(None, self._broken)

    def close(self) -> None:
        """End the sequence at the server and release everything. Safe to call twice.

        Never raises: a server that is gone holds nothing. In a forked child it does nothing: the
        stream is the parent's.
        """
        if not (self._hang_up.alive and self._link.is_own):
            return
        closed = StreamClosed("an open stream", "one that was closed", "Open a new stream.")
        with self._lock:
            self._closed = closed
            self._lock.notify_all()
        # A thread that is just sending ends first: no frame leaves after the end of the sequence.
        idle = self._link.sending.acquire(timeout=_END_TIMEOUT_S)
        if self._started and self._broken is None:
            name = self.model.served_name
            self._link.send(end_request(name, self.sequence_id, _END_ID, start=False))
        if idle:
            self._link.sending.release()
        if self._started and self._broken is None:
            self._ended.wait(min(_END_TIMEOUT_S, self.timeout_s))
        self.fail(closed)
        self._hang_up()
        self._reader.join(_END_TIMEOUT_S)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _wanted_outputs(model: ModelInfo, readings: tuple[str, ...]) -> list[str]:
    """Names of the outputs to ask for: all, but of the readings made on request the named ones."""
    on_request = {row.name for row in READINGS if row.asked}
    there = [port.name for port in stream_outputs(model.spec)]
    if unknown := [name for name in readings if name not in on_request.intersection(there)]:
        raise CineflowClientError(
            f"readings on request of {sorted(on_request.intersection(there))}",
            f"{unknown}",
            "The other readings always come.",
        )
    return [name for name in there if name not in on_request or name in readings]


def _spacing(spacing_mm: tuple[float, ...], rank: int) -> np.ndarray:
    try:
        array = np.asarray(spacing_mm, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (rank,) or not (np.isfinite(array).all() and (array > 0).all()):
        raise CineflowClientError(
            f"a spacing of {rank} positive numbers, (row, column) or (slice, row, column) in mm",
            repr(spacing_mm),
            "Leave it out without a calibration: lengths are in pixels then.",
        )
    return array


def _read(stream_ref: weakref.ref[Stream], link: Link) -> None:
    """Hand each response to its frame and the end of the call to all, then free the ring."""
    try:
        for response in link.responses:
            stream = stream_ref()
            if stream is None:
                break
            stream._deliver(response)
            del stream, response
        reason = "the server closed the stream"
    except grpc.RpcError as error:
        reason = f"{error.code().name}: {error.details()}"
    except Exception as error:  # also after a bug here, a caller must not wait for ever
        reason = f"{type(error).__name__}: {error}"
    stream = stream_ref()
    if stream is not None:
        stream.fail(_broken_by(reason))
        stream._ended.set()
    del stream
    link.free_ring()


def _broken_by(reason: str) -> ServerDied:
    return ServerDied(
        "a live connection to the server",
        reason,
        "Start the server again and open a new stream; displacement starts from a new reference "
        "frame.",
    )
