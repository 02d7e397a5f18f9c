"""A direct connection: frames go straight to the process of the model, on the same machine.

It stands next to the call of a stream, which begins and ends the sequence. The frames lie in the
ring; what is said about them goes through a Unix socket. Whoever waits for a result reads the
socket itself, so that no thread has to be woken in between. For frames that nobody waits for, a
thread reads.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from cineflow_client.ring import SharedRing
from cineflow_client.served import STATE, Messages, Payload, packed
from cineflow_client.wire import Answer, Step

#: Seconds that the model's process gets to accept the connection.
_ACCEPT_S = 2.0
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class Taker(Protocol):
    """What takes the responses: the delivery of a stream."""

    def deliver(self, answer: Answer, session: Any) -> None:
        """Take one answer."""

    def direct_ended(self, session: Any, reason: str) -> None:
        """No more responses come. Without a reason, the frames that have none were not computed."""


#: Gives the taker, or None once the stream was dropped.
GetTaker = Callable[[], Taker | None]


class Direct:
    """A connection to the process of a model.

    Args:
        name: Where it is, as the server said.
        session: The stream's, which responses are handed over with.
        sequence: Its sequence.
        ring: Its memory.

    Attributes:
        ended: Whether no more responses come.

    Raises:
        OSError: There is no such connection here, or it is another user's.
    """

    def __init__(self, name: str, session: Any, sequence: int, ring: SharedRing) -> None:
        self.ended = False
        self._session = session
        self._ring = ring
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(_ACCEPT_S)
            self._socket.connect(f"\0{name}")
            said = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            if _CREDENTIALS.unpack(said)[1] != os.geteuid():
                raise PermissionError("another user's process")
            parts = {part: (ring.offsets[part], room) for part, room in ring.parts.items()}
            if ring.state_bytes:
                parts[STATE.name] = (ring.offsets[STATE.name], ring.state_bytes)
            hello = {"sequence": sequence, "slot_bytes": ring.slot_bytes, "parts": parts}
            socket.send_fds(self._socket, [packed(hello)], [ring.descriptor])
            self._messages = Messages(self._socket)
            try:
                ready = self._messages.next(_ACCEPT_S)
            except (EOFError, ValueError) as error:
                raise ConnectionError("it refuses") from error
            if ready is None:
                raise TimeoutError("no response")
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise
        self._reading = threading.Lock()  # whoever has it reads the socket
        self._held: Answer | None = None  # read, and not yet delivered
        self._bye = False
        self._ending = False
        self._wanted = threading.Event()  # the thread is to read
        self._lock = threading.Condition()  # of what follows
        self._unanswered: dict[str, None] = {}
        self._with_state = ""  # the frame whose state goes to the ring's room for one

    # -- sending ---------------------------------------------------------------------------------

    def send(
        self,
        request_id: str,
        step: Step,
        wanted: Sequence[str],
        told: dict[str, Any],
        *,
        leads: bool,
        asks_state: bool = False,
    ) -> None:
        """Send a frame, which lies in its slot.

        Args:
            request_id: Comes back with the answer.
            step: The frame.
            wanted: Names of the outputs.
            told: Parameters.
            leads: Whether the caller reads the answer itself (`lead`).
            asks_state: Whether the state of the stream is to come, in an answer of its own after
                the frame's.
        """
        header: dict[str, Any] = {
            "id": request_id,
            "slot": step.slot,
            "dtype": step.frame.dtype.name,
            "shape": step.frame.shape,
            "outputs": wanted,
        }
        if step.index is not None:
            header["frame_index"] = int(step.index)
        if step.beat is not None:
            header["beat"] = bool(step.beat)
        if step.time_ms is not None:
            header["time_ms"] = float(step.time_ms)
        if told:
            header["parameters"] = told
        if asks_state:
            has_room = self._ring.state_bytes > 0 and not self._with_state
            header["state_slot"] = self._ring.state_slot if has_room else None
            self._with_state = request_id if has_room else self._with_state
        with self._lock:
            self._unanswered[request_id] = None
            # If it has ended, whoever reads learns it, and what becomes of this frame.
            with contextlib.suppress(OSError):
                self._socket.sendall(packed(header))
        if not leads:
            self._wanted.set()

    def end(self, wait_s: float) -> None:
        """End the stream at the model, after the frames that are under way."""
        self._wanted.set()
        self._ending = True
        with self._lock:
            self._lock.wait_for(lambda: self.ended or not self._unanswered, wait_s)
            with contextlib.suppress(OSError):
                self._socket.sendall(packed({"end": True}))

    def retire(self) -> list[str]:
        """Take the frames without an answer out; none can be sent any more."""
        with self._lock:
            self.ended = True
            left, self._unanswered = list(self._unanswered), {}
            self._lock.notify_all()
        return left

    def close(self) -> None:
        """End the connection at once; whoever reads learns it."""
        self.ended = True  # without a lock: the garbage collector may be the one that calls
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._wanted.set()

    def release(self) -> None:
        """After `close`: wait until nobody reads the ring any more, and free the socket."""
        with self._reading:
            self._socket.close()

    # -- receiving -------------------------------------------------------------------------------

    def lead(
        self, get_taker: GetTaker, request_id: str, done: Callable[[], bool], wait_s: float
    ) -> None:
        """Read responses in this thread until a frame is `done`, if it went this way.

        It returns at once where another thread reads, and after `wait_s`.
        """
        if request_id not in self._unanswered:
            return
        if not self._reading.acquire(blocking=False):
            self._wanted.set()  # the thread that reads may just have looked for the last time
            return
        try:
            self._read(get_taker, done, time.monotonic() + wait_s)
        finally:
            self._reading.release()
            if self._unanswered or self._held is not None:
                self._wanted.set()

    def follow(self, get_taker: GetTaker) -> None:
        """Read responses that nobody waits for. In a thread of its own, until the end."""
        while not self.ended:
            self._wanted.wait()
            self._wanted.clear()
            with self._reading:
                self._read(get_taker, lambda: not self._unanswered, None)

    def _read(self, get_taker: GetTaker, done: Callable[[], bool], until: float | None) -> None:
        while not self.ended and (self._held is not None or not done()):
            wait_s = None if until is None else until - time.monotonic()
            reason = ""
            try:
                if self._held is None and not self._hold_next(wait_s):
                    return
            except EOFError:
                reason = "its direct connection has ended"
            except (OSError, ValueError, LookupError, TypeError) as error:
                reason = f"{type(error).__name__}: {error}"
            taker = get_taker()
            if taker is None:
                return
            if self._held is not None:
                try:
                    taker.deliver(self._held, self._session)
                except Exception as error:  # also after a bug here, nobody must wait for ever
                    reason = f"{type(error).__name__}: {error}"
                ends = self._held.state is not None or self._held.error
                if ends and self._held.request_id == self._with_state:
                    self._with_state = ""
                self._held = None  # still there after Ctrl-C: the next one to read delivers it
            if reason or self._bye:
                if not self._ending:
                    taker.direct_ended(self._session, reason)
                self.close()
                return
            del taker

    def _hold_next(self, wait_s: float | None) -> bool:
        """Read one message; returns whether one came in time."""
        message = self._messages.next(wait_s)
        if message is None:
            return False
        self._bye = bool(message[0].get("bye"))
        if not self._bye:
            answer = self._answer(*message)
            with self._lock:
                self._unanswered.pop(answer.request_id, None)
                if not self._unanswered:
                    self._lock.notify_all()
            self._held = answer
        return True

    def _answer(self, header: dict[str, Any], payload: Payload) -> Answer:
        """The answer that a message is."""
        request_id, outputs = header["id"], header.get("outputs", [])
        ring = self._ring
        if "state" in header:
            return Answer(request_id, "", lambda slot: {}, state=self._state(header, payload))

        def arrays(slot: int) -> dict[str, np.ndarray]:
            found, at = {}, 0
            for name, dtype, shape, inside in outputs:
                if inside:
                    found[name] = ring.take(slot, name, dtype, tuple(shape))
                    continue
                array = np.frombuffer(payload, dtype, math.prod(shape), at).reshape(shape)
                at += array.nbytes
                # A copy: it can be written to, and does not keep the other arrays.
                alone = array.flags.writeable and 2 * array.nbytes > len(payload)
                found[name] = array if alone else array.copy()
            return found

        return Answer(request_id, header.get("error", ""), arrays)

    def _state(self, header: dict[str, Any], payload: Payload) -> Callable[[], bytes]:
        """Reads the state that a message brings. Raises `ValueError` where it is not whole."""
        byte_size, inside = header["state"]
        least, most = (0, self._ring.state_bytes) if inside else (len(payload), len(payload))
        if type(byte_size) is not int or not least <= byte_size <= most:
            raise ValueError(f"a state of {byte_size} bytes, where {least} to {most} can be")
        return partial(self._ring.state, byte_size) if inside else lambda: bytes(payload)
