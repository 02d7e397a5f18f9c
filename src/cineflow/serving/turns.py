"""Frames of several streams side by side, so that a greedy stream cannot hold up the others.

Problem: Triton hands a model one request after the other. A stream that sends large frames as fast
as it can then makes every other one wait for a whole frame of its own, several times in a row.

Solution: while several streams send frames, the model returns from Triton's call at once, and
worker threads compute the frames. Those of one stream run in their order, one at a time. A free
worker takes the next frame of the stream that has had the least time so far. A stream that comes
back from a pause starts at the time of the least one that waits, so a pause saves up nothing.

There is one worker more than cores, so that a short frame need not wait even where long ones run on
every core: the operating system shares the cores then. An engine that may run once at a time gets
one worker. The order is as fair, but a frame waits for the end of the one that runs.

A stream that is alone is computed where its frame came, in Triton's call or in the thread of its
direct connection: handing over costs a copy and a change of threads.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Work = Callable[[], None]

#: How long `close` waits for the frames that still run.
_END_S = 5.0


def workers_for(concurrent: bool) -> int:
    """How many workers there are; `concurrent` says whether the engine may run several at once."""
    return len(os.sched_getaffinity(0)) + 1 if concurrent else 1


class Turns:
    """Worker threads that take turns among streams. Any thread may use it.

    Args:
        workers: How many threads.
        clock: Seconds that only grow.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._workers = workers
        self._changed = threading.Condition()
        self._waiting: dict[int | str, deque[Work]] = {}  # never an empty one
        self._running: set[int | str] = set()
        self._used_s: dict[int | str, float] = {}  # of the streams that wait or run
        self._threads: list[threading.Thread] = []
        self._closed = False

    def holds(self, stream: int | str) -> bool:
        """Whether a frame of the stream waits or runs."""
        with self._changed:
            return stream in self._waiting or stream in self._running

    def put(self, stream: int | str, work: Work) -> None:
        """Run `work` after what came before for the stream. It must not raise."""
        with self._changed:
            if stream not in self._used_s:
                self._used_s[stream] = min(self._used_s.values(), default=0.0)
            self._waiting.setdefault(stream, deque()).append(work)
            if len(self._threads) < self._workers:
                name = f"cineflow-turn-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
            self._changed.notify()

    def wait_for(self, stream: int | str, compute: Callable[[], T]) -> T:
        """What `compute` returns, once it had its turn as in `put`."""
        made: queue.SimpleQueue[T] = queue.SimpleQueue()
        self.put(stream, lambda: made.put(compute()))
        return made.get()

    def close(self) -> None:
        """Compute what waits, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while True:
            with self._changed:
                while (stream := self._next()) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                waiting = self._waiting[stream]
                work = waiting.popleft()
                if not waiting:
                    del self._waiting[stream]
                self._running.add(stream)
            began = self._clock()
            work()
            del work
            with self._changed:
                self._used_s[stream] += self._clock() - began
                self._running.discard(stream)
                if stream in self._waiting:
                    self._changed.notify()
                elif not self._waiting and not self._running:
                    self._used_s.clear()  # nobody is owed anything
                # A stream without a frame keeps its time as long as others have one: it pauses
                # between two frames, which must not make it new each time.

    def _next(self) -> int | str | None:
        ready = self._waiting.keys() - self._running
        return min(ready, key=self._used_s.__getitem__, default=None)
