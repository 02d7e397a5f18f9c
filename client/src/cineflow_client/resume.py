"""Resumer: the session of a stream, and the next one when that is lost.

A session is lost with the server, with the connection, with the process that runs the model, or
when the server dropped an idle stream. The next session begins with the last state that the server
sent, and with the frames that this state does not contain. So its results are those that the lost
session would have given.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cineflow_client.card_array import CardArray
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    ModelUnloaded,
    RingLost,
    ServerDied,
    SharedMemoryUnavailable,
    StreamBroken,
    StreamTimeout,
    closed_stream,
)
from cineflow_client.history import History
from cineflow_client.ring import SharedRing
from cineflow_client.served import INDICES, STATE, Result, changed
from cineflow_client.session import Session
from cineflow_client.wire import Step

#: Start of the request ids of frames that are sent again although their result has come.
AGAIN = "again-"
#: Waits between two attempts: the first, and the longest.
_FIRST_WAIT_S, _LAST_WAIT_S = 0.05, 1.0


class Resumer:
    """Sends frames through the session of a stream, and replaces it.

    Args:
        make_session: From what goes with the first frame.
        is_ready: Raises `CineflowClientError` unless the server is ready for a new session.
        at_start: What goes with the stream's first frame. It may be filled until that is sent.
        state: The state that the stream begins with; None for a new one.
        wanted: Names of the outputs.
        resume_s: Seconds for which a lost session is tried again; 0: never.

    Attributes:
        session: The current one.
        interrupted: Why it is of no more use; None while it is.
        resumed: How many sessions were replaced.
    """

    def __init__(
        self,
        make_session: Callable[[Mapping[str, np.ndarray]], Session],
        is_ready: Callable[[], None],
        at_start: Mapping[str, np.ndarray],
        state: bytes | None,
        wanted: Sequence[str],
        resume_s: float,
    ) -> None:
        self.interrupted: CineflowClientError | None = None
        self.resumed = 0
        self._make_session = make_session
        self._is_ready = is_ready
        self._at_start = at_start
        self._wanted = list(wanted)
        self._resume_s = resume_s
        self._history = History(state)
        # Held while a frame leaves: it is in the history then, and this session or a later one
        # sends it.
        self._leaving = threading.Lock()
        self._closed = threading.Event()
        self._alive = False  # whether a result has come at all
        self._attempts = 0  # since the last result
        self._until = 0.0  # when they end
        self._resumed_at = float("-inf")
        self.session = make_session(self._beginning())

    # -- frames ------------------------------------------------------------------------------------

    def send(
        self,
        request_id: str,
        step: Step,
        failed: Callable[[Exception, bool], None],
        *,
        leads: bool = False,
    ) -> None:
        """Send a frame, or keep it for the next session; see `Session.send`."""
        self._send(request_id, step, failed, leads=leads)
        if isinstance(step.frame, CardArray):
            step.frame.release()

    def _send(
        self,
        request_id: str,
        step: Step,
        failed: Callable[[Exception, bool], None],
        *,
        leads: bool,
    ) -> None:
        with self._leaving:
            # One that leaves at once is kept after that, while it is computed.
            leaves_at_once = self.session.settled and self.interrupted is None
            ring = self.session.ring
            if not leaves_at_once or (ring is None and isinstance(step.frame, CardArray)):
                step = _kept(step)
            if self._resume_s <= 0:
                self.session.send(request_id, step, self._wanted, failed, leads=leads)
                return
            asked = self._history.add(request_id, step)
            if self.interrupted is not None:
                return
            try:
                self.session.send(request_id, step, self._outputs(asked), failed, leads=leads)
            except BaseException as error:
                refused = FrameRejected("a frame that can be sent", repr(error))
                self._history.settle(request_id, None, refused)
                raise
            self._history.keep(request_id, _kept(step, ring))

    def settle(
        self, request_id: str, result: Result | None, error: CineflowClientError | None
    ) -> None:
        """Note what came back for a frame."""
        self._history.settle(request_id, result, error)
        if result is not None:
            self._alive = True
            self._attempts = 0

    def keep_state(self, request_id: str, state: bytes) -> None:
        """Note the state after a frame, which came after its result."""
        self._history.keep_state(request_id, state)

    def send_by_call(self, session: Session, find: Callable[[str], Step | None]) -> None:
        """Send the frames again, by the call, that the direct connection has not computed.

        Args:
            session: Whose direct connection has ended.
            find: Gives the frame of a request, if it is still waited for.
        """
        with self._leaving:
            if session.link.direct is None:
                return
            for request_id in session.link.direct.retire():
                step = find(request_id)
                if self.interrupted is None and step is not None:
                    step = self._history.step(request_id) or step
                    if isinstance(step.frame, CardArray):
                        step = _kept(step, session.link.ring)
                    outputs = self._outputs(self._history.asks(request_id))
                    session.sent_by_call()
                    session.link.send(session.request(request_id, step, outputs, lies_there=True))

    def _outputs(self, asked: bool) -> list[str]:
        more = asked and STATE.name not in self._wanted
        return [*self._wanted, STATE.name] if more else self._wanted

    # -- sessions ----------------------------------------------------------------------------------

    def may_resume(self, error: CineflowClientError) -> bool:
        """Whether an error is one after which the stream can go on in another session."""
        lost = isinstance(error, StreamBroken)
        lost = lost and not isinstance(error, (StreamTimeout, ModelUnloaded))
        return lost and self._alive and self._resume_s > 0 and not self._closed.is_set()

    def interrupt(self, error: CineflowClientError) -> None:
        """From here on, frames wait for the next session."""
        with self._leaving:
            if self.interrupted is None:
                self.interrupted = error

    def grace_s(self, wait_s: float) -> float:
        """How much longer than `wait_s` a result may be waited for, because of a lost session."""
        if self.interrupted is not None:
            return 0.2
        return self._resumed_at + wait_s - time.monotonic()

    def leave_out_what_kills(self) -> str | None:
        """The request of a frame that will not be sent again; see `History`.

        Only a dead model or server says something about the frame that it had.
        """
        with self._leaving:
            died = type(self.interrupted) is ServerDied
            return self._history.leave_out_what_kills() if died else None

    def next_session(self, size: tuple[int, ...]) -> Session:
        """The next session, with the frames that the state does not contain on their way.

        Args:
            size: Of the stream's frames.

        Raises:
            StreamClosed: `close` was called meanwhile.
            StreamBroken: The time is over; it states the last attempt's error.
        """
        reason = self.interrupted
        assert reason is not None
        if self._attempts == 0:
            self._until = time.monotonic() + self._resume_s
        while True:
            wait_s = min(_FIRST_WAIT_S * 2 ** min(self._attempts, 8), _LAST_WAIT_S)
            if time.monotonic() + wait_s > self._until:
                raise self._given_up(reason)
            if self._closed.wait(wait_s):
                raise closed_stream()
            self._attempts += 1
            try:
                return self._begin(size)
            except CineflowClientError as error:
                reason = error

    def _given_up(self, reason: CineflowClientError) -> StreamBroken:
        if isinstance(reason, StreamBroken) and not isinstance(reason, RingLost):
            return reason
        return ServerDied(
            f"a server that takes the stream again within {self._resume_s:g} s",
            str(reason),
            "Open a new stream; displacement starts from a new reference frame.",
        )

    def _begin(self, size: tuple[int, ...]) -> Session:
        self._is_ready()
        session = self._make_session(self._beginning())
        session.resumed = self.resumed + 1
        try:
            session.settle(size)
            with self._leaving:
                for sent in self._history.to_send_again():
                    if sent.answered:
                        # Readings on request are those that the first request names.
                        outputs = [INDICES.name] if session.started else self._wanted
                        again = session.request(
                            AGAIN + sent.request_id, sent.step, outputs, in_ring=False
                        )
                    else:
                        outputs = self._outputs(sent.asked)
                        again = session.request(sent.request_id, sent.step, outputs)
                    session.sent_by_call()
                    session.link.send(again)
                session.settled = True
                self.session, self.interrupted = session, None
                # Once it stands here, `hang_up` finds it. What closed before may have missed it.
                if self._closed.is_set():
                    raise closed_stream()
                self._resumed_at = time.monotonic()
                self.resumed += 1
        except BaseException:
            session.link.hang_up()
            session.link.free_ring()
            raise
        return session

    def _beginning(self) -> Mapping[str, np.ndarray]:
        state = self._history.state
        return self._at_start if state is None else {STATE.name: np.frombuffer(state, np.uint8)}

    def close(self) -> None:
        """Give up waiting for another session."""
        self._closed.set()

    def hang_up(self) -> None:
        """End the call of the current session at once, and do not begin another one."""
        self.close()
        self.session.link.hang_up()


def _kept(step: Step, ring: SharedRing | None = None) -> Step:
    """The step with a frame of its own: the caller may write to its array again.

    One on a card comes from its slot of the ring, if it was put there.
    """
    if step.kept:
        return step
    frame: np.ndarray | None = None
    if ring is not None and isinstance(step.frame, CardArray) and step.frame.in_slot:
        with contextlib.suppress(SharedMemoryUnavailable):  # closed in another thread
            frame = ring.take_frame(step.slot, step.frame.dtype, step.frame.shape)
    return changed(step, frame=step.frame.copy() if frame is None else frame, kept=True)
