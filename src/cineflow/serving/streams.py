"""The live sequences of one served model."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cineflow.runtime.stream import Stream
from cineflow.serving.errors import PlacesTakenError, SequenceTakenError, StreamGoneError


@dataclass
class _Live:
    stream: Stream
    last_used_s: float


class StreamTable:
    """Live streams by correlation id; idle ones are dropped.

    Triton does not tell a backend that it dropped an idle sequence, so the same clock runs here.
    Any thread may use it.

    Args:
        idle_s: Seconds without a frame after which a sequence is forgotten.
        places: How many sequences may be live at once.
        clock: Seconds that only grow.
        tell: Called with what happens ("started", "refused", "ended", "gone" or "expired") and the
            sequence.

    Attributes:
        tell: As given.
    """

    def __init__(
        self,
        idle_s: float,
        places: int,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str, int | str], None] = lambda event, sequence: None,
    ) -> None:
        self._idle_s = idle_s
        self._places = places
        self._clock = clock
        self.tell = tell
        self._lock = threading.Lock()
        self._live: OrderedDict[int | str, _Live] = OrderedDict()  # longest idle first

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, sequence: object) -> bool:
        with self._lock:
            self._forget_idle()
            return sequence in self._live

    def others_used(self, sequence: int | str, within_s: float) -> bool:
        """Whether another sequence had a frame within that time."""
        with self._lock:
            since = self._clock() - within_s
            for other, live in reversed(self._live.items()):  # the last used first
                if other != sequence:
                    return live.last_used_s >= since
        return False

    @property
    def full(self) -> bool:
        """Whether every place is taken."""
        with self._lock:
            self._forget_idle()
            return len(self._live) >= self._places

    def begin(self, sequence: int | str, stream: Stream) -> None:
        """Add a sequence.

        Raises:
            SequenceTakenError: One of this id is live. It stays: its next frame must not be tracked
                against a frame of another patient.
            PlacesTakenError: Every place is taken.
        """
        with self._lock:
            self._forget_idle()
            if sequence in self._live:
                raise SequenceTakenError(
                    "the id of a new sequence",
                    f"{sequence}, which is live",
                    "Draw a random id of 62 bits for each sequence, or end the other one first.",
                )
            if len(self._live) >= self._places:
                self.tell("refused", sequence)
                raise PlacesTakenError(
                    f"a free place among the {self._places} of this model",
                    "as many live streams",
                    "Wait until a stream ends, or serve with more places.",
                )
            self._live[sequence] = _Live(stream, self._clock())
            self.tell("started", sequence)

    def end(self, sequence: int | str, event: str = "ended") -> None:
        """Forget a sequence. An unknown one is fine."""
        with self._lock:
            if self._live.pop(sequence, None) is not None:
                self.tell(event, sequence)

    def get(self, sequence: int | str) -> Stream:
        """The stream of a sequence; it counts as used now.

        Raises:
            StreamGoneError: It never started here, or was idle for too long.
        """
        with self._lock:
            now = self._forget_idle()
            live = self._live.get(sequence)
            if live is not None:
                live.last_used_s = now
                self._live.move_to_end(sequence)
        if live is None:
            raise StreamGoneError(
                "a sequence that is live",
                f"sequence {sequence}, which did not start or was idle for {self._idle_s:g} s",
                "Open a new stream; displacement starts from a new reference frame.",
            )
        return live.stream

    def _forget_idle(self) -> float:
        """Drop what was idle for too long; returns the time."""
        now = self._clock()
        while self._live and now - next(iter(self._live.values())).last_used_s > self._idle_s:
            sequence, _ = self._live.popitem(last=False)
            self.tell("expired", sequence)
        return now
