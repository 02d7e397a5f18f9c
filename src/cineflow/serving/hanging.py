"""Ends the process of a model whose frame hangs.

A computation that hangs cannot be stopped from outside of it. So the process ends (`ending.py`). A
frame that does so twice is left out by its client.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from cineflow.serving.ending import HUNG, end_process

_LOOK_S = 0.1


class HangWatch:
    """Watches the computation of frames, one or several at once.

    Args:
        told: Called before the end, with the seconds that the frame was given.
    """

    def __init__(self, told: Callable[[float], None]) -> None:
        self._told = told
        self._limits: dict[object, tuple[float, float]] = {}  # frame -> when, and seconds
        self._closed = threading.Event()
        threading.Thread(target=self._look_on, name="cineflow-hang", daemon=True).start()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What runs inside must end within that time; infinity watches nothing."""
        if not math.isfinite(seconds):
            yield
            return
        frame = object()
        self._limits[frame] = (time.monotonic() + seconds, seconds)
        try:
            yield
        finally:
            del self._limits[frame]

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _look_on(self) -> None:
        while not self._closed.wait(_LOOK_S):
            now = time.monotonic()
            seconds = [given for until, given in tuple(self._limits.values()) if now > until]
            if not seconds:
                continue
            words = f"a frame has computed for {seconds[0]:g} s and hangs: its process ends"
            end_process(words, HUNG, partial(self._told, seconds[0]))
