"""Session: one sequence at the server, and how its frames travel.

A stream has one session after the other: a new one each time it is resumed.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from cineflow_client.clock import ServerClock
from cineflow_client.connection import Connection
from cineflow_client.declared import Declared
from cineflow_client.direct import Direct, GetTaker
from cineflow_client.errors import CineflowClientError, SharedMemoryUnavailable
from cineflow_client.link import Link, ring_parts, state_bytes
from cineflow_client.metadata import ModelInfo
from cineflow_client.ring import SharedRing
from cineflow_client.served import DIRECT, LATE_FRAMES, RESUMED, ROUND_TRIP, STATE
from cineflow_client.wire import (
    Step,
    end_request,
    frame_request,
    keep_alive_request,
    set_parameters,
    watch_request,
)

Transport = Literal["auto", "shm", "grpc"]
#: Ids of requests without a frame.
END_ID, ALIVE_ID = "end", "alive"
#: Seconds that frames which went directly get before the sequence ends.
_END_S = 2.0
#: Triton is asked that often whether it still has a sequence whose frames go directly.
_ASK_S = 1.0


class Session:
    """One sequence.

    Its methods are called by one thread at a time, except where they say otherwise.

    Args:
        connection: To the server.
        model: Whose frames it sends.
        transport: "auto" takes shared memory where it works.
        slots: Of the ring.
        wanted: Outputs that the ring has room for.
        keeps_state: Whether some frames will bring the state.
        declared: What goes with the first frame, for the server to know.
        at_start: What goes with the first frame. It may be filled until that is sent.

    Attributes:
        sequence_id: The sequence's id at the server.
        link: The gRPC call, and the ring.
        transport: "shm" or "grpc"; "auto" until the first frame is sent.
        transport_reason: Why "auto" did not take shared memory; empty if it did.
        resumed: How many sessions of the stream were lost before this one.
        started: Whether a request has begun the sequence.
        starter: The id of that request.
        clock: The server's.
        settled: Whether it is known how frames travel, and the first request was made.
    """

    def __init__(
        self,
        connection: Connection,
        model: ModelInfo,
        transport: Transport,
        slots: int,
        wanted: Iterable[str],
        keeps_state: bool,
        declared: Declared,
        at_start: Mapping[str, np.ndarray],
    ) -> None:
        self.sequence_id = secrets.randbits(62) + 1  # 0 is refused by the server
        self.transport = transport
        self.transport_reason = ""
        self.resumed = 0
        self.started = False
        self.starter = ""
        self.clock = ServerClock()
        self.link = Link(connection, declared.traceparent)
        self._declared = declared
        # What the next frame tells the server, whose metrics cannot know it otherwise.
        self._told: dict[str, int | str] = {}
        self._model = model
        self._slots = slots
        self._wanted = list(wanted)
        # A stream that shows its state has it in every result; another one waits for none.
        self._state_apart = keeps_state and STATE.name not in self._wanted
        self._at_start = at_start
        self.settled = False
        self._lock = threading.Lock()
        self._asked_at = time.monotonic()
        self._by_call = 0  # frames that were sent by the call and have no response yet

    def send(
        self,
        request_id: str,
        step: Step,
        wanted: Sequence[str],
        failed: Callable[[Exception, bool], None],
        *,
        leads: bool = False,
    ) -> None:
        """Send one frame.

        The first one is made by the thread that feeds the call, because having the server map the
        ring takes a round trip, which the caller must not wait for. So `step.frame` must stay as it
        is until then.

        Args:
            request_id: Comes back with the response.
            step: The frame.
            wanted: Names of the outputs.
            failed: Called, maybe by the feeding thread, with an error that kept it from being sent,
                and whether the session is of no more use.
            leads: Whether the caller reads the response itself, where that is possible (`lead`).
        """
        direct = self.direct
        if direct is not None:
            assert self.link.ring is not None
            self.link.ring.put_frame(step.slot, step.frame)
            told, self._told = self._told, {}
            asks_state = self._state_apart and STATE.name in wanted
            outputs = self._wanted if asks_state else wanted
            direct.send(request_id, step, outputs, told, leads=leads, asks_state=asks_state)
            self._ask_now_and_then()
            return
        self.sent_by_call()
        if not self.settled:
            self.link.send(partial(self._first, request_id, step, wanted, failed))
            return
        try:
            request = self.request(request_id, step, wanted)
        except BaseException:
            self.answered(request_id)
            raise
        self.link.send(request)

    @property
    def direct(self) -> Direct | None:
        """What the next frame goes through; None: through the call."""
        direct = self.link.direct
        if direct is None or direct.ended or self._by_call:  # frames must not overtake each other
            return None
        return direct

    def sent_by_call(self) -> None:
        """A frame leaves through the call."""
        with self._lock:
            self._by_call += 1

    def answered(self, request_id: str) -> None:
        """A response has come by the call, or a frame did not leave."""
        if request_id not in (END_ID, ALIVE_ID):
            with self._lock:
                self._by_call -= 1

    def open_direct(self, name: str) -> bool:
        """Have the frames from here on go straight to the model's process, if that works."""
        return bool(name) and self.link.open_direct(name, self, self.sequence_id)

    def settle(self, size: tuple[int, ...]) -> None:
        """Have the server map the ring, or fall back to gRPC tensors.

        Raises:
            SharedMemoryUnavailable: transport="shm" was asked for and is not possible.
            ServerUnavailable: No server responds.
        """
        if self.transport != "grpc" and self.link.ring is None:
            try:
                in_ring = self._state_apart and self._may_be_direct()
                self.link.open_ring(
                    self._slots,
                    ring_parts(self._model, self._wanted, size),
                    state_bytes(self._model, size) if in_ring else 0,
                )
                self.transport = "shm"
            except SharedMemoryUnavailable as error:
                if self.transport == "shm":
                    raise
                self.transport, self.transport_reason = "grpc", str(error)

    def request(
        self,
        request_id: str,
        step: Step,
        wanted: Iterable[str],
        *,
        in_ring: bool = True,
        lies_there: bool = False,
    ) -> Any:
        """The message for a frame; one that travels by shared memory is put into its slot.

        Args:
            request_id: Comes back with the response.
            step: The frame.
            wanted: Names of the outputs.
            in_ring: Whether it may travel by shared memory.
            lies_there: Whether it is in its slot already.
        """
        ring = self.ring if in_ring else None
        start = not self.started
        if start:
            step = replace(step, arrays={**step.arrays, **self._at_start})
            self.starter = request_id
            own_id = secrets.randbits(62) + 1
            self.link.watch(watch_request(self._model.served_name, self.sequence_id, own_id))
        if ring is not None and not lies_there:
            ring.put_frame(step.slot, step.frame)
        name = self._model.served_name
        request = frame_request(name, self.sequence_id, request_id, step, wanted, ring, start=start)
        self.started = True
        told, self._told = self._told, {}
        if start:
            told.update(self._declared.parameters)
            told.update({RESUMED: self.resumed} if self.resumed else {})
            told.update({DIRECT: 1} if self.ring is not None and self._may_be_direct() else {})
        set_parameters(request, told)
        return request

    def _ask_now_and_then(self) -> None:
        """Frames go directly: Triton is asked by the call whether it still has the sequence.

        It would take the sequence for idle otherwise. And it alone knows that the model was
        unloaded, whose process goes on as long as it has streams.
        """
        now = time.monotonic()
        if now - self._asked_at >= _ASK_S:
            self._asked_at = now
            self.keep_alive()

    def _may_be_direct(self) -> bool:
        """Further inputs of each frame travel in the call's messages."""
        feed = self._model.spec["feed"]
        once = {*feed["inputs"], *feed["at_start"]}
        return all(item["name"] in once for item in self._model.spec["inputs"])

    def follow(self, get_taker: GetTaker) -> None:
        """Read direct responses that nobody waits for, until the end. In a thread of its own."""
        direct = self.link.direct
        if direct is not None:
            direct.follow(get_taker)

    def tell(self, round_trip_us: int, late_frames: int) -> None:
        """What the next frame tells the server: how long the last one took, and how many were late.

        From the thread that receives.
        """
        late = {LATE_FRAMES: late_frames} if late_frames else {}
        self._told = {ROUND_TRIP: round_trip_us, **late}

    @property
    def ring(self) -> SharedRing | None:
        """The memory that frames travel in; None where they travel inside the messages."""
        return self.link.ring if self.transport == "shm" else None

    def give_up_ring(self, reason: str) -> None:
        """Let the frames from here on travel inside the messages."""
        self.transport, self.transport_reason = "grpc", reason

    def keep_alive(self) -> None:
        """Tell the server that the sequence lives, without a frame."""
        if self.started:
            name = self._model.served_name
            self.link.send(keep_alive_request(name, self.sequence_id, ALIVE_ID))

    def end(self, wait_s: float = _END_S) -> None:
        """Tell the server that the sequence ends. From any thread.

        Args:
            wait_s: Seconds that frames get which went directly, and which the end would overtake.
        """
        if self.direct is not None:
            self.direct.end(wait_s)
        name = self._model.served_name
        self.link.send(end_request(name, self.sequence_id, END_ID, start=False))

    def _first(
        self,
        request_id: str,
        step: Step,
        wanted: Iterable[str],
        failed: Callable[[Exception, bool], None],
    ) -> Any | None:
        try:
            self.settle(step.frame.shape)
        except CineflowClientError as error:
            self.answered(request_id)
            failed(error, True)
            return None
        try:
            request = self.request(request_id, step, wanted)
        except Exception as error:  # also after a bug, the caller must not wait for ever
            self.answered(request_id)
            failed(error, False)
            return None
        self.settled = True
        return request
