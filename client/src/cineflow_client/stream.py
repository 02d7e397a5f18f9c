"""Stream: one live sequence of frames, from its start to its end.

A frame goes out through a bidirectional gRPC stream and its result comes back on the same stream. A
reader thread hands the results over. At most `slots` frames are in flight, so the queue is bounded:
`push` waits for its own result, and `submit` refuses a frame while every slot is taken.

When the connection or the server's sequence ends under the stream, the reader thread begins another
sequence from the last state that the server sent, and sends again what that state does not contain.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

import grpc
import numpy as np

from cineflow_client.connection import Connection
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    OtherProcess,
    RingLost,
    ServerBusy,
    ServerDied,
    ServerStopping,
    StreamBroken,
    StreamBusy,
    StreamClosed,
)
from cineflow_client.frames import checked_arrays, checked_frame, checked_spacing, require_numbers
from cineflow_client.metadata import ModelInfo
from cineflow_client.padding import Padding
from cineflow_client.pending import Pending
from cineflow_client.resume import AGAIN, Resumer
from cineflow_client.served import STATE, Result
from cineflow_client.session import END_ID, Session, Transport
from cineflow_client.slots import NO_SLOT, Slots
from cineflow_client.waiting import Waiting
from cineflow_client.wire import Step, error_from_message, names_a_lost_region, read_result

_END_TIMEOUT_S = 2.0
#: What a lock can wait at most; it refuses more, and infinity.
_LONGEST_WAIT_S = threading.TIMEOUT_MAX / 2


class Stream:
    """One sequence of frames of one size. Made by `Client.stream`; a context manager.

    Frames may be sent from any thread, and leave in the order in which they took their turn.

    Attributes:
        model: The model that it is bound to.
        timeout_s: Seconds until a missing result closes the stream.
    """

    def __init__(
        self,
        connection: Connection,
        model: ModelInfo,
        *,
        transport: Transport,
        slots: int,
        timeout_s: float,
        resume_s: float,
        waiting: Waiting,
        state: bytes | None,
        spacing_mm: tuple[float, ...] | None,
        readings: tuple[str, ...],
    ) -> None:
        self.model = model
        self.timeout_s = timeout_s
        self._process = os.getpid()
        self._slots = Slots(slots, waiting)
        self._size: tuple[int, ...] | None = None  # of the caller's frames
        self._padding: Padding | None = None
        self._at_start: dict[str, np.ndarray] = {}
        if spacing_mm is not None:
            self._at_start["spacing_mm"] = checked_spacing(spacing_mm, model.frame_rank)
        if state is not None:
            self._at_start[STATE.name] = np.frombuffer(state, np.uint8)
        self._given_at_start = state is None  # a state brings what is given at START
        wanted = model.wanted_outputs(readings)
        self._shows_state = STATE.name in wanted
        self._dark = True  # every frame so far was black, so a scale of 0..1 can still show
        self._sending = threading.Lock()  # whoever has it has the turn to send
        self._ended = threading.Event()
        self._resumer = Resumer(
            partial(Session, connection, model, transport, slots, wanted),
            partial(connection.require_ready, model.served_name),
            self._at_start,
            state,
            wanted,
            resume_s,
        )
        # The thread does not hold the stream, so that one that is dropped goes, and its ring too.
        self._reader = threading.Thread(
            target=_read,
            args=(weakref.ref(self), self._resumer),
            name="cineflow-stream",
            daemon=True,
        )
        self._reader.start()
        self._hang_up = weakref.finalize(self, self._resumer.hang_up)

    @property
    def sequence_id(self) -> int:
        """The sequence's id at the server. A stream that is resumed gets a new one."""
        return self._resumer.session.sequence_id

    @property
    def untrained(self) -> bool:
        """Whether the model has random numbers for weights, so that its outputs are meaningless."""
        return self.model.untrained

    @property
    def dropped(self) -> int:
        """How many frames its policy has dropped."""
        return self._slots.dropped

    @property
    def resumed(self) -> int:
        """How often it went on in a new sequence after the last one was lost."""
        return self._resumer.resumed

    @property
    def transport(self) -> Transport:
        """ "shm" or "grpc"; "auto" until the first frame is sent."""
        return self._resumer.session.transport

    @property
    def transport_reason(self) -> str:
        """Why "auto" did not take shared memory; empty if it did."""
        return self._resumer.session.transport_reason

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
                [D, H, W] for models of volumes. A size between two that the model takes (800 x 600
                for one by 16) is padded with black below and to the right, and the results are
                cropped. Areas, and what else the model says of the whole frame, include the black.
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
        if not self._sending.acquire(timeout=max(until - time.perf_counter(), 0.0)):
            raise StreamBusy(
                "a turn to send",
                "another thread that sends, or waits for a free slot",
                "Drop this frame, wait longer (wait_s), or send from one thread.",
            )
        try:
            return self._send(frame, index, beat, time_ms, dict(given or {}), sent_at, until)
        finally:
            self._sending.release()

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[Result]:
        """The results of frames in their order, with as many in flight as there are slots.

        Args:
            frames: A clip [T, H, W], or whatever yields frames; see `push`. The next frame is taken
                when a slot is free.

        Raises:
            CineflowClientError: As `push`; the frames after a frame that was refused are not sent.
        """
        waiting: deque[Pending] = deque()
        for frame in frames:
            waiting.append(self.submit(frame, wait_s=self.timeout_s))
            while waiting and (waiting[0].done() or len(waiting) >= self._slots.count):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

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
        own_size = array.shape
        if self._size is None:
            self._padding = Padding(self.model, own_size)
        assert self._padding is not None
        array = self._padding.pad(array)
        require_numbers(index, beat, time_ms)
        arrays = self._checked_given(given, array.shape)
        step = Step(array, index, beat, time_ms, NO_SLOT, arrays)
        if self._slots.drops:
            if index is None and not self._given_at_start:
                raise FrameRejected(
                    "a frame's index, because the stream goes on from a state and may drop frames",
                    "none",
                    "Go on counting from the state's result: its `current`.",
                )
            step = replace(step, frame=array.copy())  # the caller may write to its array again
            pending = self._slots.wait_in_line(self, step, sent_at)
            self._slots.send_waiting(self._leave)
        else:
            pending = self._slots.claim(self, step, sent_at, until)
            if self._resumer.keeps_frames:
                pending.step = replace(pending.step, frame=array.copy())
            try:
                self._leave(pending)
            except BaseException as error:  # nothing was sent: the next frame may use the slot
                self._slots.release(pending)
                raise (self._slots.broken or error) from None
        self._size = own_size
        self._dark = self._dark and not array.any()
        return pending

    def _leave(self, pending: Pending) -> None:
        self._resumer.send(pending.request_id, pending.step, partial(self._not_sent, pending))

    def _not_sent(self, pending: Pending, error: Exception, useless: bool) -> None:
        """A first frame did not leave; `useless` says that no other one can."""
        if useless and isinstance(error, CineflowClientError):
            self.fail(error)
        else:
            self._slots.release(pending)
            pending.settle(None, error)

    def _checked_given(
        self, given: Mapping[str, np.ndarray], shape: tuple[int, ...]
    ) -> dict[str, np.ndarray]:
        """The further inputs of this frame. Those that come once are kept for the first request."""
        feed = self.model.spec["feed"]
        first = self._size is None and self._given_at_start
        not_now = {*feed["inputs"], *(() if first else feed["at_start"])}
        now = [item for item in self.model.spec["inputs"] if item["name"] not in not_now]
        sizes = self.model.axis_sizes(shape)
        arrays = checked_arrays(self.model.served_name, now, given, sizes)
        once = {name: arrays.pop(name).copy() for name in feed["at_start"] if name in arrays}
        self._at_start |= once
        return arrays

    # -- receiving -------------------------------------------------------------------------------

    def _deliver(self, response: Any, session: Session) -> None:
        inferred, said = response.infer_response, response.error_message
        if inferred.id == END_ID:
            self._ended.set()
            if self._slots.broken is not None or self._resumer.interrupted is not None:
                session.link.hang_up()
            return
        if self._resumer.interrupted is not None:
            return  # this frame is sent again
        error = error_from_message(said, self.model.served_name) if said else None
        if inferred.id.startswith(AGAIN):
            if error is not None:
                self._lose(session, error)
            return
        # It stays listed until it is read: the end of the stream settles it too.
        pending = self._slots.find(inferred.id)
        if pending is None:
            return
        result: Result | None = None
        if names_a_lost_region(said):
            error = self._without_ring(pending, session, said)
        elif error is None:
            elapsed_ms = 1e3 * (time.perf_counter() - pending.sent_at)
            session.round_trip_us = round(1e3 * elapsed_ms)
            ring = session.link.ring
            try:
                result = read_result(inferred, pending.step, self.model.spec, ring, elapsed_ms)
            except CineflowClientError as refused:
                error = refused
        if isinstance(error, StreamBroken):
            self._lose(session, error)
            return
        self._resumer.settle(inferred.id, result, error)
        if result is not None:
            assert self._padding is not None
            result = self._padding.crop(result)
            if not self._shows_state:
                result = replace(result, state=None)
        self._slots.release(pending)
        self._slots.send_waiting(self._leave)
        pending.settle(result, error)

    def _lose(self, session: Session, error: CineflowClientError) -> None:
        """The session is of no more use: another one goes on, or the stream ends."""
        if self._resumer.may_resume(error):
            self._resumer.interrupt(error)
        else:
            self._slots.end(error)
        if isinstance(error, (ServerStopping, ServerBusy)):  # Triton still counts the sequence
            session.end()
        else:
            session.link.hang_up()

    def _without_ring(
        self, pending: Pending, session: Session, message: str
    ) -> CineflowClientError:
        """The server has lost the ring, and the frame with it."""
        lost = RingLost(
            "a server that maps the stream's shared memory",
            message,
            "The stream goes on with gRPC tensors. Send this frame again, or leave it out.",
        )
        if self._resumer.may_resume(lost):
            return lost
        if pending.request_id == "0":  # no frame has reached the model
            session.started = False
        session.give_up_ring(f"a server that no longer maps this stream's memory ({message})")
        return FrameRejected(lost.wanted, lost.got, lost.remedy)

    def _after(self, session: Session, reason: CineflowClientError) -> Session | None:
        """The next session after the call of one has ended; None where the stream ends with it."""
        reason = self._resumer.interrupted or reason
        going_on = self._slots.broken is None and self._resumer.may_resume(reason)
        if going_on:
            self._resumer.interrupt(reason)  # nothing is written to the ring from here on
        else:
            self.fail(reason)
            self._ended.set()
        session.link.free_ring()
        if not going_on:
            return None
        assert self._padding is not None  # a result has come
        if killing := self._resumer.leave_out_what_kills():
            self._leave_out(killing)
        try:
            return self._resumer.next_session(self._padding.size)
        except CineflowClientError as error:
            self.fail(error)
            self._ended.set()
            return None

    def _leave_out(self, request_id: str) -> None:
        pending = self._slots.find(request_id)
        if pending is not None:
            self._slots.release(pending)
            error = FrameRejected(
                "a frame that the server survives",
                "one that twice took the server down, or was lost with it",
                "Look into the server's log. The stream goes on without this frame.",
            )
            pending.settle(None, error)

    # -- ending ----------------------------------------------------------------------------------

    def grace_s(self, wait_s: float) -> float:
        """How much longer a result that did not come within `wait_s` may be waited for."""
        return self._resumer.grace_s(wait_s)

    def require_own_process(self) -> None:
        """Raise `OtherProcess` in a process that only inherited the stream by a fork."""
        if os.getpid() != self._process:
            raise OtherProcess(
                "the process that opened the stream",
                f"process {os.getpid()}, a fork of it",
                "Make a new Client in this process and open a stream of its own.",
            )

    def fail(self, error: CineflowClientError) -> None:
        """End the stream with `error`, which every frame in flight and every later call raises."""
        self._slots.end(error)
        self._resumer.hang_up()

    def close(self) -> None:
        """End the sequence at the server and release everything. Safe to call twice.

        Never raises: a server that is gone holds nothing. In a forked child it does nothing: the
        stream is the parent's.
        """
        if not (self._hang_up.alive and os.getpid() == self._process):
            return
        closed = StreamClosed("an open stream", "one that was closed", "Open a new stream.")
        self._slots.close(closed)
        self._resumer.close()
        # A thread that is just sending ends first: no frame leaves after the end of the sequence.
        idle = self._sending.acquire(timeout=_END_TIMEOUT_S)
        live = self._resumer.session.started and self._slots.broken is None
        if live and self._resumer.interrupted is None:
            self._resumer.session.end()
        if idle:
            self._sending.release()
        if live:
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


def _read(stream_ref: weakref.ref[Stream], resumer: Resumer) -> None:
    """Hand each response to its frame, from one session after the other."""
    session: Session | None = resumer.session
    while session is not None:
        reason = _hand_over(stream_ref, session)
        stream = stream_ref()
        if stream is None:
            session.link.free_ring()
            return
        session = stream._after(session, reason)
        del stream


def _hand_over(stream_ref: weakref.ref[Stream], session: Session) -> ServerDied:
    """Hand over the responses of a session until its call ends; returns why it did."""
    try:
        for response in session.link.responses:
            stream = stream_ref()
            if stream is None:
                break
            stream._deliver(response, session)
            del stream, response
        reason = "the server closed the stream"
    except grpc.RpcError as error:
        reason = f"{error.code().name}: {error.details()}"
    except Exception as error:  # also after a bug here, a caller must not wait for ever
        reason = f"{type(error).__name__}: {error}"
    return ServerDied(
        "a live connection to the server",
        reason,
        "Start the server again and open a new stream; displacement starts from a new reference "
        "frame.",
    )
