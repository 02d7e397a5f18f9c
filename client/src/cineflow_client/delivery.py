"""Delivery: what becomes of the responses of a stream, and of a session that is lost."""

from __future__ import annotations

import threading
import time
import weakref
from functools import partial

from cineflow_client.declared import Declared
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    ModelNotFound,
    ModelUnloaded,
    RingLost,
    ServerBusy,
    ServerDied,
    ServerStopping,
    StreamBroken,
)
from cineflow_client.intake import Intake
from cineflow_client.metadata import ModelInfo
from cineflow_client.pending import Pending
from cineflow_client.resume import AGAIN, Resumer
from cineflow_client.served import Codec, Result, changed
from cineflow_client.session import ALIVE_ID, END_ID, Session
from cineflow_client.slots import Slots
from cineflow_client.wire import (
    Answer,
    Step,
    error_from_message,
    names_a_lost_region,
    read_result,
)


class Delivery:
    """Settles the frames of one stream, from the thread that reads its responses.

    Args:
        model: The stream's.
        slots: Its frames in flight.
        resumer: Its sessions.
        intake: Knows the size of its frames.
        declared: Its budget.
        shows_state: Whether results keep their state.

    Attributes:
        late_frames: Frames whose result came later than the budget.
        ended: Set once no more response comes.
    """

    def __init__(
        self,
        model: ModelInfo,
        slots: Slots,
        resumer: Resumer,
        intake: Intake,
        declared: Declared,
        *,
        shows_state: bool,
    ) -> None:
        self.late_frames = 0
        self.ended = threading.Event()
        self._model = model
        self._codec = Codec(model.spec)
        self._slots = slots
        self._resumer = resumer
        self._intake = intake
        self._declared = declared
        self._shows_state = shows_state

    def deliver(self, answer: Answer, session: Session) -> None:
        """Hand an answer to its frame. For whoever reads it."""
        request_id, said = answer.request_id, answer.error
        if request_id == END_ID:
            self.ended.set()
            if self._slots.broken is not None or self._resumer.interrupted is not None:
                session.link.hang_up()
            return
        if self._resumer.interrupted is not None:
            return  # this frame is sent again
        if answer.state is not None:
            self._resumer.keep_state(request_id, answer.state())
            return
        error = error_from_message(said, self._model.served_name) if said else None
        if isinstance(error, ModelNotFound):
            error = ModelUnloaded(
                f"{self._model.served_name}, the stream's model, at the server",
                "it was unloaded",
                "Open a new stream to what is served now; displacement starts from a new "
                "reference frame.",
            )
        if request_id == ALIVE_ID or request_id.startswith(AGAIN):
            # A question that the end has overtaken is about a sequence that is no more.
            if error is None:
                self._go_direct(session, answer.offer)
            elif self._slots.closed is None:
                self._lose(session, error)
            return
        # It stays listed until it is read: the end of the stream settles it too.
        pending = self._slots.find(request_id)
        if pending is None:
            return
        result: Result | None = None
        if names_a_lost_region(said):
            error = self._without_ring(pending, session, said)
        elif error is None:
            try:
                result = self._result(answer, pending, session)
            except CineflowClientError as refused:
                error = refused
        if isinstance(error, StreamBroken):
            self._lose(session, error)
            return
        self._resumer.settle(request_id, result, error)
        if result is not None:
            result = self._intake.crop(result)
            if result.state is not None and not self._shows_state:
                result = changed(result, state=None)
        self._slots.release(pending)
        self._slots.send_waiting(self.leave)
        pending.settle(result, error)

    def _result(self, answer: Answer, pending: Pending, session: Session) -> Result:
        received_s = time.perf_counter()
        elapsed_ms = 1e3 * (received_s - pending.sent_at)
        step = pending.step
        arrays = answer.read(step.slot)
        place = partial(
            session.clock.placed,
            captured_ms=step.time_ms,
            sent_s=pending.sent_at,
            received_s=received_s,
        )
        result = read_result(arrays, self._codec, elapsed_ms, place)
        self._go_direct(session, answer.offer)
        self.late_frames += self._declared.late(elapsed_ms)
        session.tell(round(1e3 * elapsed_ms), self.late_frames)
        deadline = result.deadline
        if deadline is None:
            return result
        late_frames = max(deadline.late_frames, self.late_frames)
        return changed(result, deadline=changed(deadline, late_frames=late_frames))

    def _go_direct(self, session: Session, name: str) -> None:
        """Frames go straight to the model's process from here on, if it offers that."""
        if session.ring is not None and session.open_direct(name):
            threading.Thread(
                target=session.follow,
                args=(weakref.ref(self),),
                name="cineflow-direct",
                daemon=True,
            ).start()

    def direct_ended(self, session: Session, reason: str) -> None:
        """No more responses come directly. Without a reason, frames without one go by gRPC."""
        if not reason:
            self._resumer.send_by_call(session, self._step_of)
        elif not session.link.hung_up:
            self._lose(
                session,
                ServerDied(
                    "a model whose process runs",
                    reason,
                    "Its streams are lost with their state. `cineflow serve` starts it again: open "
                    "a new stream in a moment.",
                ),
            )

    def lead(self, pending: Pending, wait_s: float) -> None:
        """Read responses in this thread until a frame has its own, where that is possible."""
        direct = self._resumer.session.link.direct
        if direct is not None and not direct.ended:
            direct.lead(lambda: self, pending.request_id, pending.done, wait_s)

    def _step_of(self, request_id: str) -> Step | None:
        pending = self._slots.find(request_id)
        return None if pending is None else pending.step

    def _lose(self, session: Session, error: CineflowClientError) -> None:
        """The session is of no more use: another one goes on, or the stream ends."""
        if self._resumer.may_resume(error):
            self._resumer.interrupt(error)
        else:
            self._slots.end(error)
        if isinstance(error, (ServerStopping, ServerBusy)):  # Triton still counts the sequence
            session.end(wait_s=0.0)  # this thread may be the one that reads
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

    def after(self, session: Session, reason: CineflowClientError) -> Session | None:
        """The next session after the call of one has ended; None where the stream ends with it."""
        reason = self._resumer.interrupted or reason
        going_on = self._slots.broken is None and self._resumer.may_resume(reason)
        if going_on:
            self._resumer.interrupt(reason)  # nothing is written to the ring from here on
        else:
            self.fail(reason)
            self.ended.set()
        session.link.free_ring()
        if not going_on:
            return None
        if killing := self._resumer.leave_out_what_kills():
            self._leave_out(killing)
        try:
            return self._resumer.next_session(self._intake.size)
        except CineflowClientError as error:
            self.fail(error)
            self.ended.set()
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

    def leave(self, pending: Pending, *, leads: bool = False) -> None:
        """Send a frame that has a slot; `leads`: its sender also waits for it."""
        not_sent = partial(self._not_sent, pending)
        self._resumer.send(pending.request_id, pending.step, not_sent, leads=leads)

    def _not_sent(self, pending: Pending, error: Exception, useless: bool) -> None:
        """A first frame did not leave; `useless` says that no other one can."""
        if useless and isinstance(error, CineflowClientError):
            self.fail(error)
        else:
            self._slots.release(pending)
            pending.settle(None, error)

    def fail(self, error: CineflowClientError) -> None:
        """End the stream with `error`, which every frame in flight and every later call raises."""
        self._slots.end(error)
        self._resumer.hang_up()
