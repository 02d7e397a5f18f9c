"""When the frames of a clip are due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class Pace:
    """The clip's own times, from now on.

    The command draws and stores each result before it sends the next frame. A scanner does that
    elsewhere. Where it goes beyond the next frame's time, the clock waits: the model was not slow.

    Args:
        times_ms: Of the frames, since the first.
        now: The clock, s.
        sleep: Waits, s.
    """

    def __init__(
        self,
        times_ms: Sequence[float],
        now: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._times_ms, self._now, self._sleep = times_ms, now, sleep
        self._started = now()

    def wait(self, index: int) -> float:
        """Wait until a frame is due. Returns by how many ms it is late."""
        early_s = self._due(index) - self._now()
        self._sleep(max(0.0, early_s))
        return max(0.0, -1e3 * early_s)

    @contextmanager
    def own_work(self, index: int) -> Iterator[None]:
        """Around what the command does with the result of a frame."""
        begun = self._now()
        yield
        if index + 1 < len(self._times_ms):
            ended = self._now()
            self._started += max(0.0, min(ended - begun, ended - self._due(index + 1)))

    def _due(self, index: int) -> float:
        return self._started + float(self._times_ms[index]) / 1e3
