"""Calls that stay open as long as a stream's connection, so that its end is seen.

Triton does not tell a backend that a client is gone: a killed program would keep its place until it
counts as idle. But it cancels a request whose connection ends. So a client opens one more call with
its stream, a *watch*, and the response comes when the stream ends. If the watch is cancelled first,
the client is gone, and its stream goes at once.

A client without a watch keeps its place until it ends its sequence or is idle for too long.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol

from cineflow.serving.streams import StreamTable

#: Name of the request parameter that holds the sequence to watch.
WATCH_PARAMETER = "watch"
_CHECK_S = 0.5


class Sender(Protocol):
    """Triton's sender of a response that is given later."""

    def is_cancelled(self) -> bool:
        """Whether the connection of the request has ended, or its client gave it up."""


class Watches:
    """The open watches of one model.

    Args:
        streams: Where the streams of gone clients are ended.
        finish: Sends the empty response of a watch.
        stopping: Whether the server is being stopped; it waits for open calls, so all finish.
    """

    def __init__(
        self,
        streams: StreamTable,
        finish: Callable[[Sender], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._streams = streams
        self._finish = finish
        self._stopping = stopping
        # Held for each use of a sender: Triton crashes where one is asked that has finished.
        self._lock = threading.Lock()
        self._open: dict[int | str, Sender] = {}
        self._live: set[int | str] = set()  # those whose stream has started
        self._closed = threading.Event()
        threading.Thread(target=self._check_on, name="cineflow-watches", daemon=True).start()

    def add(self, sequence: int | str, sender: Sender) -> None:
        """Keep a watch. Its stream may start a little later than the watch comes."""
        self.end(sequence)  # one of before is over
        with self._lock:
            self._open[sequence] = sender

    def check(self) -> None:
        """End the streams of clients that are gone, and the watches of streams that have ended."""
        with self._lock:
            watched = list(self._open)
        for sequence in watched:
            with self._lock:
                sender = self._open.get(sequence)
                if sender is None:  # it ended meanwhile
                    continue
                gone = sender.is_cancelled()
                live = sequence in self._streams
                if live:
                    self._live.add(sequence)
            if live and not gone and not self._stopping():
                continue
            if gone:
                self._streams.end(sequence, "gone")
            if gone or sequence in self._live or self._stopping():
                self.end(sequence)

    def end(self, sequence: int | str) -> None:
        """The stream has ended: its watch is over. One without a watch is fine."""
        with self._lock:
            sender = self._open.pop(sequence, None)
            self._live.discard(sequence)
            if sender is not None:
                self._finish(sender)

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _check_on(self) -> None:
        server = os.getppid()
        while not self._closed.wait(_CHECK_S):
            if os.getppid() != server:  # it was killed, and would never reply
                return
            self.check()
