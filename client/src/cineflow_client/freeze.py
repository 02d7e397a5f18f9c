"""A frozen stream keeps its place at the server."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

#: A server drops an idle stream after its idle time; that often within it, it is told.
_TIMES = 3


class Frozen(Protocol):
    """A stream, as this module sees it."""

    def keep_alive(self) -> bool:
        """Tell the server that the stream lives; returns whether it goes on."""


class Freeze:
    """Tells the server now and then that a stream without frames lives.

    Args:
        stream: Whose place is kept. It is not kept alive by this.
        idle_s: Seconds after which the server drops an idle stream; 0: never.
    """

    def __init__(self, stream: Frozen, idle_s: float) -> None:
        self._ended = threading.Event()
        if idle_s > 0:
            threading.Thread(
                target=_tell,
                args=(weakref.ref(stream), self._ended, idle_s / _TIMES),
                name="cineflow-freeze",
                daemon=True,
            ).start()

    def end(self) -> None:
        """The stream goes on, or has ended."""
        self._ended.set()


def _tell(stream_ref: weakref.ref[Frozen], ended: threading.Event, every_s: float) -> None:
    while not ended.wait(every_s):
        stream = stream_ref()
        if stream is None or not stream.keep_alive():
            return
        del stream
