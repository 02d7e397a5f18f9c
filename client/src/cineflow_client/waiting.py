"""What becomes of a frame that finds every slot in flight: the stream's policy."""

from __future__ import annotations

import time
from collections import deque
from typing import Literal

from cineflow_client.errors import CineflowClientError
from cineflow_client.pending import Pending

Policy = Literal["every", "newest", "deadline"]
POLICIES: tuple[Policy, ...] = ("every", "newest", "deadline")


class Waiting:
    """Frames that wait for a slot. Not for the policy "every", which refuses them instead.

    Args:
        policy: "newest": one frame waits, and a newer one takes its place. "deadline": frames wait
            in their order, and are dropped when they are too old.
        deadline_ms: How old a frame may be when it leaves, counted from `submit`.

    Raises:
        CineflowClientError: There is no such policy, or the deadline does not go with it.
    """

    def __init__(self, policy: Policy, deadline_ms: float | None) -> None:
        if policy not in POLICIES:
            raise CineflowClientError(f"a policy of {POLICIES}", repr(policy))
        right = deadline_ms is None or deadline_ms > 0
        if (policy == "deadline") != (deadline_ms is not None) or not right:
            raise CineflowClientError(
                'a positive deadline_ms with the policy "deadline", and only with it',
                f"policy={policy!r}, deadline_ms={deadline_ms!r}",
            )
        self.drops = policy != "every"
        self._most = 1 if policy == "newest" else None
        self._oldest_s = float("inf") if deadline_ms is None else deadline_ms / 1e3
        self._frames: deque[Pending] = deque()

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, pending: Pending) -> list[Pending]:
        """Let a frame wait; returns those that it displaces."""
        self._frames.append(pending)
        dropped = self.too_old()
        while self._most is not None and len(self._frames) > self._most:
            dropped.append(self._frames.popleft())
        return dropped

    def too_old(self) -> list[Pending]:
        """Take out the frames that have waited for too long."""
        now, late = time.perf_counter(), []
        while self._frames and now - self._frames[0].sent_at > self._oldest_s:
            late.append(self._frames.popleft())
        return late

    def take(self) -> Pending:
        """Take out the frame that leaves next."""
        return self._frames.popleft()

    def clear(self) -> None:
        """Forget all of them."""
        self._frames.clear()
