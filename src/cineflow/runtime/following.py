"""What a frame says of itself must follow on the frame before it."""

from __future__ import annotations

import numpy as np

from cineflow.errors import ArgumentError, FrameError
from cineflow.runtime.state import StreamState
from cineflow.served import LAST_INDEX


def require_time(time_ms: float | None, before: StreamState | None) -> None:
    """Raise `FrameError` unless the time may follow on the last frame's.

    Args:
        time_ms: When the frame was taken; None without.
        before: The stream after its last frame; None before the first.
    """
    number = isinstance(time_ms, (int, float, np.integer, np.floating))
    if time_ms is not None and not (number and np.isfinite(time_ms)):
        raise FrameError("a finite time_ms", repr(time_ms))
    if before is None:
        return
    last = before.time_ms
    if (time_ms is None) != (last is None):
        raise FrameError(
            "a time for every frame of a stream, or for none",
            "a frame without one" if time_ms is None else "a first frame with one",
        )
    if time_ms is not None and last is not None and time_ms <= last:
        raise FrameError(f"a time above {last:g} ms, the last frame's", f"{time_ms:g} ms")


def numbered(index: int | None, before: StreamState | None) -> int:
    """The number of a frame: the caller's, or the next one.

    Args:
        index: As the caller counts; None lets the stream count.
        before: As in `require_time`.

    Raises:
        FrameError: It is not a whole number in range, or not above the last frame's.
    """
    if index is not None and (
        isinstance(index, bool)
        or not isinstance(index, (int, np.integer))
        or not 0 <= int(index) <= LAST_INDEX
    ):
        raise FrameError(f"a whole frame index from 0 to {LAST_INDEX}", repr(index))
    last = -1 if before is None else before.index
    number = last + 1 if index is None else int(index)
    if number <= last:
        raise FrameError(f"a frame index above {last}, the last frame's", str(number))
    return number


def require_same_spacing(asked: tuple[float, ...] | None, known: tuple[float, ...] | None) -> None:
    """Raise `ArgumentError` for a spacing that is not the one that the stream began with."""
    if asked is not None and asked != known:
        raise ArgumentError(
            "no spacing_mm, as in the state"
            if known is None
            else f"spacing_mm {known}, the state's",
            str(asked),
            "Leave it out: a stream keeps the spacing that it began with",
        )
