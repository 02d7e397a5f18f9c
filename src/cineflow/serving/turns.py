"""Frames of several streams side by side, so that a greedy stream cannot hold up the others.

Problem: Triton hands a model one request after the other. A stream that sends large frames as fast
as it can then makes every other one wait for a whole frame of its own, several times in a row.

Solution: while several streams send frames, the model returns from Triton's call at once, and
threads compute the frames in turns. Those of one stream run in their order, one at a time. The next
turn is that of the stream that has had the least time so far. A stream that comes back from a pause
starts at the time of the least one that waits, so a pause saves up nothing.

One frame more than there are cores may run at once. So a short frame need not wait even where long
ones run on every core: the operating system shares the cores then. An engine that may run once at a
time gets one place. The order is as fair, but a frame waits for the end of the one that runs.

A frame that came directly runs in the thread of its connection when its turn comes. A frame that
came by Triton while no other stream sent any is computed in Triton's call. Either way nothing is
handed over: that costs a change of threads, and for Triton's frames a copy.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")
Work = Callable[[], None]

#: How long `close` waits for the frames that still wait or run.
_END_S = 5.0


def workers_for(concurrent: bool) -> int:
    """How many frames may run at once; `concurrent` says whether the engine may run several."""
    return len(os.sched_getaffinity(0)) + 1 if concurrent else 1


class Turns:
    """Gives streams turns to compute their frames. Any thread may use it.

    Args:
        workers: How many frames may run at once.
        clock: Seconds that only grow.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._workers = workers
        self._lock = threading.Condition()  # notified when nothing waits or runs any more
        self._waiting: dict[int | str, deque[Work]] = {}  # what begins a frame; never an empty one
        self._running: set[int | str] = set()
        self._used_s: dict[int | str, float] = {}  # of the streams that wait or run
        self._threads: list[threading.Thread] = []
        self._handed_over: queue.SimpleQueue[Work | None] = queue.SimpleQueue()

    def holds(self, stream: int | str) -> bool:
        """Whether a frame of the stream waits or runs."""
        with self._lock:
            return stream in self._waiting or stream in self._running

    def put(self, stream: int | str, work: Work) -> None:
        """Have a thread run `work`, after what came before for the stream. It must not raise."""
        with self._lock:
            if len(self._threads) < self._workers:
                name = f"cineflow-turn-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
            measured = partial(self._measured, stream, work)
            self._line_up(stream, partial(self._handed_over.put, measured))

    def run(self, stream: int | str, compute: Callable[[], T]) -> T:
        """What `compute` returns. It runs in this thread, when it has its turn as in `put`."""
        begins = threading.Lock()
        begins.acquire()
        with self._lock:
            self._line_up(stream, begins.release)
        begins.acquire()
        return self._measured(stream, compute)

    def close(self) -> None:
        """Compute what waits, and end the threads."""
        with self._lock:
            self._lock.wait_for(lambda: not (self._waiting or self._running), _END_S)
        until = time.monotonic() + _END_S
        for _ in self._threads:
            self._handed_over.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (work := self._handed_over.get()) is not None:
            work()
            del work

    def _measured(self, stream: int | str, compute: Callable[[], T]) -> T:
        """Run a frame that has its turn."""
        began = self._clock()
        try:
            return compute()
        finally:
            with self._lock:
                self._used_s[stream] += self._clock() - began
                self._running.discard(stream)
                self._begin_more()
                if not self._waiting and not self._running:
                    self._used_s.clear()  # nobody is owed anything
                    self._lock.notify_all()
                # A stream without a frame keeps its time as long as others have one: it pauses
                # between two frames, which must not make it new each time.

    def _line_up(self, stream: int | str, begin: Work) -> None:
        """Have `begin` called when the stream has its turn. With the lock held."""
        if stream not in self._used_s:
            self._used_s[stream] = min(self._used_s.values(), default=0.0)
        self._waiting.setdefault(stream, deque()).append(begin)
        self._begin_more()

    def _begin_more(self) -> None:
        """Give turns as long as a place is free. With the lock held."""
        while len(self._running) < self._workers:
            # In the order in which they came, which decides between streams of equal time.
            ready = [stream for stream in self._waiting if stream not in self._running]
            if not ready:
                return
            stream = min(ready, key=self._used_s.__getitem__)
            waiting = self._waiting[stream]
            begin = waiting.popleft()
            if not waiting:
                del self._waiting[stream]
            self._running.add(stream)
            begin()
