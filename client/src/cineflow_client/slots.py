"""Slots: the frames in flight, and those that wait to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cineflow_client.errors import CineflowClientError, FrameDropped, StreamBusy, StreamClosed
from cineflow_client.pending import Owner, Pending
from cineflow_client.served import changed
from cineflow_client.waiting import Waiting
from cineflow_client.wire import Step

#: Of a frame that waits for a slot.
NO_SLOT = -1


class Slots:
    """At most `count` frames are in flight. Safe from any thread.

    Args:
        count: How many.
        waiting: The frames that wait for one.

    Attributes:
        count: How many there are.
        dropped: How many frames were dropped while they waited.
        broken: Why the stream has ended; every later claim raises it.
        closed: Set while the frames in flight still end.
    """

    def __init__(self, count: int, waiting: Waiting) -> None:
        self.count = count
        self.dropped = 0
        self.broken: CineflowClientError | None = None
        self.closed: StreamClosed | None = None
        self._waiting = waiting
        self._lock = threading.Condition()
        self._draining = threading.Lock()  # frames leave in their order
        self._free = list(range(count))
        self._pending: dict[str, Pending] = {}
        self._counter = 0

    @property
    def drops(self) -> bool:
        """Whether frames wait in line, and may be dropped there."""
        return self._waiting.drops

    def claim(self, stream: Owner, step: Step, sent_at: float, until: float) -> Pending:
        """A frame with a free slot. From here on, the end of the stream also ends this frame.

        Raises:
            StreamBusy: No slot is free by `until` (`time.perf_counter`).
            CineflowClientError: The stream has ended.
        """
        with self._lock:
            left_s = max(until - time.perf_counter(), 0.0)
            if not self._lock.wait_for(lambda: self._free or self.broken or self.closed, left_s):
                raise StreamBusy(
                    "a free slot",
                    f"{self.count} frames in flight",
                    "Drop this frame, wait longer (wait_s), or open the stream with more slots.",
                )
            self._require_open()
            return self._listed(stream, changed(step, slot=self._free.pop()), sent_at)

    def wait_in_line(self, stream: Owner, step: Step, sent_at: float) -> Pending:
        """A frame at the end of the line. It gets a number, so that a dropped one leaves a gap.

        Raises:
            CineflowClientError: The stream has ended.
        """
        with self._lock:
            self._require_open()
            number = self._counter if step.index is None else step.index
            pending = self._listed(stream, changed(step, index=number), sent_at)
            dropped = self._waiting.add(pending)
        self._drop(dropped)
        return pending

    def send_waiting(self, send: Callable[[Pending], None]) -> None:
        """Send the frames that wait, as long as there are slots."""
        while self._waiting:
            with self._draining:
                with self._lock:
                    dropped = self._waiting.too_old()
                    pending = self._waiting.take() if self._waiting and self._free else None
                    if pending is not None:
                        pending.step = changed(pending.step, slot=self._free.pop())
                if pending is not None:
                    try:
                        send(pending)
                    except Exception as error:  # it has no caller that could be told
                        self.release(pending)
                        pending.settle(None, self.broken or error)
            self._drop(dropped)
            if pending is None:
                return

    def find(self, request_id: str) -> Pending | None:
        """The frame of a request; None once it was released."""
        with self._lock:
            return self._pending.get(request_id)

    def release(self, pending: Pending) -> None:
        """Free the slot of a frame."""
        with self._lock:
            self._pending.pop(pending.request_id, None)
            if pending.step.slot != NO_SLOT:
                self._free.append(pending.step.slot)
            self._lock.notify()

    def close(self, closed: StreamClosed) -> None:
        """Refuse further frames."""
        with self._lock:
            self.closed = closed
            self._lock.notify_all()

    def end(self, error: CineflowClientError) -> None:
        """Settle every frame with `error`, or with what ended the stream before."""
        with self._lock:
            if self.broken is None:
                self.broken = error
            frames, self._pending = list(self._pending.values()), {}
            self._waiting.clear()
            self._lock.notify_all()
        for pending in frames:
            pending.settle(None, self.broken)

    def _require_open(self) -> None:
        if ended := self.broken or self.closed:
            raise ended

    def _listed(self, stream: Owner, step: Step, sent_at: float) -> Pending:
        request_id = str(self._counter)
        self._counter += 1
        pending = self._pending[request_id] = Pending(stream, request_id, step, sent_at)
        return pending

    def _drop(self, frames: list[Pending]) -> None:
        for pending in frames:
            self.dropped += 1
            self.release(pending)
            pending.settle(
                None,
                FrameDropped(
                    "a free slot in time",
                    f"none for frame {pending.index}, which was not sent",
                    "Send fewer frames, or open the stream with more slots. The next result states "
                    "the gap (`gap_frames`).",
                ),
            )
