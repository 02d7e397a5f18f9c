"""Whether something happens rarely enough to be written down each time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class Rarity:
    """Counts events over the last second.

    Args:
        limit: How many events in a second are rare.
        clock: Seconds that only grow.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit = limit
        self._recent: deque[float] = deque()  # times of the rare ones

    def next_is_rare(self) -> bool:
        """Whether the event that happens now is one of the first `limit` within a second."""
        now = self._clock()
        while self._recent and now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if len(self._recent) >= self._limit:
            return False
        self._recent.append(now)
        return True
