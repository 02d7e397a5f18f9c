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
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType

from cineflow_client.connection import Connection
from cineflow_client.cuda_arrays import Picture
from cineflow_client.declared import Declared
from cineflow_client.delivery import Delivery
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    OtherProcess,
    StreamBusy,
    closed_stream,
)
from cineflow_client.freeze import Freeze
from cineflow_client.intake import Intake
from cineflow_client.metadata import ModelInfo
from cineflow_client.pending import Pending
from cineflow_client.reading import read
from cineflow_client.resume import Resumer
from cineflow_client.served import STATE, Result, changed
from cineflow_client.session import Session, Transport
from cineflow_client.slots import Slots
from cineflow_client.waiting import Waiting
from cineflow_client.wire import Step

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
        declared: Declared,
        another: Callable[..., Stream],
    ) -> None:
        self.model = model
        self.timeout_s = timeout_s
        self._process = os.getpid()
        self._slots = Slots(slots, waiting)
        self._another = another
        self._freeze: Freeze | None = None
        self._intake = Intake(model, state, spacing_mm)
        wanted = model.wanted_outputs(readings)
        self._sending = threading.Lock()  # whoever has it has the turn to send
        self._resumer = Resumer(
            partial(Session, connection, model, transport, slots, wanted, resume_s > 0, declared),
            partial(connection.require_ready, model.served_name),
            self._intake.at_start,
            state,
            wanted,
            resume_s,
        )
        self._delivery = Delivery(
            model,
            self._slots,
            self._resumer,
            self._intake,
            declared,
            shows_state=STATE.name in wanted,
        )
        # The thread does not hold the stream, so that one that is dropped goes, and its ring too.
        self._reader = threading.Thread(
            target=read,
            args=(weakref.ref(self._delivery), self._resumer.session),
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
    def late_frames(self) -> int:
        """Frames whose result came later than the declared budget."""
        return self._delivery.late_frames

    @property
    def resumed(self) -> int:
        """How often it went on in a new sequence after the last one was lost."""
        return self._resumer.resumed

    @property
    def transport(self) -> Transport:
        """ "shm" or "grpc"; "auto" until the first frame is sent."""
        return self._resumer.session.transport

    @property
    def direct(self) -> bool:
        """Whether frames go straight to the model's process: with "shm", after the first one."""
        return self._resumer.session.direct is not None

    @property
    def transport_reason(self) -> str:
        """Why "auto" did not take shared memory; empty if it did."""
        return self._resumer.session.transport_reason

    # -- sending ---------------------------------------------------------------------------------

    def push(
        self,
        frame: Picture,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
        given: Mapping[str, Picture] | None = None,
    ) -> Result:
        """Send one frame and wait for its result.

        Args:
            frame: Grey levels in the range of the model's feed (0..255), uint8 or float32 [H, W];
                [D, H, W] for models of volumes. A size between two that the model takes (800 x 600
                for one by 16) is padded with black below and to the right, and the results are
                cropped. Areas, and what else the model says of the whole frame, include the black.
                An array on a CUDA card (CuPy, torch, or what has `__cuda_array_interface__` or
                DLPack) is waited for and copied once, into the memory in which it travels. Its rows
                may have space between them.
            index: The frame's number; it must grow. The server counts from 0 by default. Skip the
                numbers of dropped frames, and the result names the pair that was tracked.
            beat: Whether an R wave came with this frame. True makes it the reference frame of the
                displacement from here on. None means that there are no triggers: end-diastole is
                found in the motion, some frames late, after about two beats (`Result.beat_info`).
            time_ms: When the frame was taken, on a clock of yours, so that impossible heart rates
                are noticed. `Result.times` has it again. Give it for every frame or for none.
            given: The model's further inputs by name: those `at_start` with the first frame, the
                others with every frame.

        Raises:
            FrameRejected: The frame is unusable; the stream continues with the next one.
            CardUnavailable: The frame is on a card that cannot be read; the stream continues.
            ServerDied: The server ended, or can no longer be reached.
            StreamExpired: The server dropped the stream.
            StreamTimeout: No result in time.
            StreamBusy: No turn among threads, or no free slot, within the stream's timeout.
            StreamClosed: The stream was closed.
            SharedMemoryUnavailable: transport="shm" was asked for and is not possible.
        """
        started_at = time.perf_counter()
        until = started_at + min(self.timeout_s, _LONGEST_WAIT_S)
        sent = self._submit(frame, index, beat, time_ms, given, started_at, until, leads=True)
        result = sent.result()
        return changed(result, latency_ms=1e3 * (time.perf_counter() - started_at))

    def submit(
        self,
        frame: Picture,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
        given: Mapping[str, Picture] | None = None,
        wait_s: float = 0.0,
    ) -> Pending:
        """Send one frame and return at once; for live sources that must not wait.

        One on a card is waited for until its producer has written it.

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
        sent_at = time.perf_counter()
        until = sent_at + min(max(wait_s, 0.0), _LONGEST_WAIT_S)
        return self._submit(frame, index, beat, time_ms, given, sent_at, until)

    def _submit(
        self,
        frame: Picture,
        index: int | None,
        beat: bool | None,
        time_ms: float | None,
        given: Mapping[str, Picture] | None,
        sent_at: float,
        until: float,
        *,
        leads: bool = False,
    ) -> Pending:
        """As `submit`; `leads`: the caller waits for the result at once."""
        self.require_own_process()
        self.unfreeze()
        if not self._sending.acquire(timeout=max(until - time.perf_counter(), 0.0)):
            raise StreamBusy(
                "a turn to send",
                "another thread that sends, or waits for a free slot",
                "Drop this frame, wait longer (wait_s), or send from one thread.",
            )
        try:
            step = self._intake.step(frame, index, beat, time_ms, dict(given or {}))
            return self._send(step, sent_at, until, leads=leads)
        finally:
            self._sending.release()

    def track(self, frames: Iterable[Picture]) -> Iterator[Result]:
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

    def _send(self, step: Step, sent_at: float, until: float, *, leads: bool) -> Pending:
        """Claim a slot and send, one frame at a time."""
        if self._slots.drops:
            if step.index is None and not self._intake.begins_anew:
                raise FrameRejected(
                    "a frame's index, because the stream goes on from a state and may drop frames",
                    "none",
                    "Go on counting from the state's result: its `current`.",
                )
            # The caller may write to its array again.
            step = changed(step, frame=step.frame.copy(), kept=True)
            pending = self._slots.wait_in_line(self, step, sent_at)
            self._slots.send_waiting(self._delivery.leave)
        else:
            pending = self._slots.claim(self, step, sent_at, until)
            try:
                self._delivery.leave(pending, leads=leads)
            except BaseException as error:  # nothing was sent: the next frame may use the slot
                self._slots.release(pending)
                raise (self._slots.broken or error) from None
        self._intake.taken(step)
        return pending

    # -- freezing, and another depth or probe ----------------------------------------------------

    def freeze(self) -> None:
        """The picture is frozen: no frames come for a while, and the stream keeps its place.

        The server is told now and then that the stream lives, however long that lasts. It goes on
        with the next frame. Frames that the freeze left out are a gap: go on counting as if they
        were lost (`index`).
        """
        self.require_own_process()
        if self._freeze is None:
            self._freeze = Freeze(self, self.model.idle_timeout_s)

    def unfreeze(self) -> None:
        """Frames come again. The next frame says so by itself."""
        if self._freeze is not None:
            self._freeze.end()
            self._freeze = None

    def keep_alive(self) -> bool:
        """Tell the server that the stream lives; returns whether it goes on."""
        with self._sending:
            if self._freeze is not None and self._resumer.interrupted is None:
                self._resumer.session.keep_alive()
        return self._slots.broken is None and self._slots.closed is None

    def another(self, *, spacing_mm: tuple[float, ...] | None = None) -> Stream:
        """End this stream, and open one with its settings for another depth or probe.

        Its frames may have another size. It begins with a new reference frame, because nothing can
        be tracked from one geometry to another.

        Args:
            spacing_mm: mm per pixel of the new frames, as in `Client.stream`.

        Raises:
            CineflowClientError: As `Client.stream`.
        """
        self.close()
        return self._another(spacing_mm=spacing_mm)

    # -- ending ----------------------------------------------------------------------------------

    def lead(self, pending: Pending, wait_s: float) -> None:
        """Read responses in this thread until a frame has its own, where that is possible."""
        self._delivery.lead(pending, wait_s)

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
        self._delivery.fail(error)

    def close(self) -> None:
        """End the sequence at the server and release everything. Safe to call twice.

        Never raises: a server that is gone holds nothing. In a forked child it does nothing: the
        stream is the parent's.
        """
        if not (self._hang_up.alive and os.getpid() == self._process):
            return
        self.unfreeze()
        closed = closed_stream()
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
            self._delivery.ended.wait(min(_END_TIMEOUT_S, self.timeout_s))
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
