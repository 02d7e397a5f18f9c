"""A paced loop, and what its times prove.

A frame is due at fixed times, as a scanner has it. It misses its deadline if its result comes after
the next frame is due. A frame that leaves late because the one before was slow has lost that time.

An empty loop runs next to the paced one, in a process of its own. It only sleeps, so what delays it
is not ours: another program, the hypervisor, the kernel. A miss is excused only if a stall of that
loop overlaps the frame's time and is at least as long as the overshoot; more than five excused
misses void the run, because it then says nothing about the machine at rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: More excused misses than this void a run.
MOST_EXCUSED = 5
#: Period of the empty loop, s, and the shortest delay that it notes.
EMPTY_PERIOD_S, LEAST_STALL_S = 2e-3, 1e-3


@dataclass(frozen=True, eq=False)
class Times:
    """When the frames of one loop were due, were sent and came back: s, f64 [N].

    The clock is the machine's monotonic one, which all processes share.

    Attributes:
        due: When each frame was due.
        sent: When it was handed to the stream.
        received: When its result was there; NaN where it was dropped.
        period_s: From one frame to the next; 0 for frames that were not paced.
    """

    due: np.ndarray
    sent: np.ndarray
    received: np.ndarray
    period_s: float

    @property
    def latency_ms(self) -> np.ndarray:
        """From the call that sends a frame to its result, ms, f64 [N]; NaN where it was dropped."""
        return 1e3 * (self.received - self.sent)

    @property
    def dropped(self) -> int:
        """How many frames were dropped instead of being late."""
        return int(np.isnan(self.received).sum())

    @property
    def overshoot_s(self) -> np.ndarray:
        """How long after its deadline each result came, s, f64 [N]; negative: before it."""
        return self.received - self.due - self.period_s


@dataclass(frozen=True)
class Verdict:
    """Whether a rate holds.

    Attributes:
        frames: How many frames were sent.
        missed: How many missed their deadline, without the excused ones.
        excused: How many misses a stall of the empty loop covers.
    """

    frames: int
    missed: int
    excused: int

    @property
    def void(self) -> bool:
        """Whether so much was excused that the run says nothing."""
        return self.excused > MOST_EXCUSED

    @property
    def holds(self) -> bool:
        """Whether every frame was in time."""
        return not self.void and self.missed == 0

    def words(self) -> str:
        """The verdict in words ("holds, 0 of 5400 missed")."""
        excuse = f", {self.excused} excused by stalls of the machine" if self.excused else ""
        if self.void:
            return f"void{excuse}: repeat it on a quiet machine"
        held = "holds" if self.holds else "does not hold"
        return f"{held}, {self.missed} of {self.frames} missed{excuse}"

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.frames + other.frames, self.missed + other.missed, self.excused + other.excused
        )


def paced(push: Callable[[int], object], due: np.ndarray, period_s: float) -> Times:
    """Send each frame when it is due, or when the one before has come back.

    Args:
        push: Sends frame k and waits for its result.
        due: When each frame is due, on the monotonic clock, s, f64 [N].
        period_s: Time that a result may take; a frame that is due earlier may take less.
    """
    sent, received = np.empty(len(due)), np.empty(len(due))
    for k, when in enumerate(due):
        time.sleep(max(0.0, when - time.monotonic()))
        sent[k] = time.monotonic()
        push(k)
        received[k] = time.monotonic()
    return Times(due, sent, received, period_s)


class Sent(Protocol):
    """A frame in flight."""

    def add_done_callback(self, call: Callable[[Sent], None]) -> None:
        """Have `call(self)` called when its result or an error is there."""

    def result(self) -> object:
        """Its result; raises its error."""


def displayed(
    submit: Callable[[int], Sent], dropped: Callable[[Sent], bool], due: np.ndarray, period_s: float
) -> Times:
    """Send each frame when it is due, whatever has come back: a display that wants the newest.

    Args:
        submit: Sends frame k, and does not wait.
        dropped: Whether a frame that is done was dropped.
        due: As in `paced`.
        period_s: As in `paced`.

    Raises:
        Exception: What `dropped` raised first.
    """
    sent, received = np.empty(len(due)), np.full(len(due), np.nan)
    done = threading.Semaphore(0)
    failed: list[Exception] = []

    def settle(k: int, one: Sent) -> None:
        now = time.monotonic()
        try:
            if not dropped(one):
                received[k] = now
        except Exception as error:  # raised by the one who waits
            failed.append(error)
        finally:
            done.release()

    for k, when in enumerate(due):
        time.sleep(max(0.0, when - time.monotonic()))
        sent[k] = time.monotonic()
        submit(k).add_done_callback(lambda one, k=k: settle(k, one))  # type: ignore[misc]
    for _ in due:
        done.acquire()
    if failed:
        raise failed[0]
    return Times(due, sent, received, period_s)


def empty(until: Callable[[], bool]) -> np.ndarray:
    """Sleep again and again until `until()`; returns the stalls: (due, woke) in s, f64 [K, 2]."""
    stalls = []
    while not until():
        due = time.monotonic() + EMPTY_PERIOD_S
        time.sleep(EMPTY_PERIOD_S)
        woke = time.monotonic()
        if woke - due >= LEAST_STALL_S:
            stalls.append((due, woke))
    return np.array(stalls).reshape(-1, 2)


def judge(times: Times, stalls: np.ndarray) -> Verdict:
    """The verdict on one loop.

    Args:
        times: Of the loop.
        stalls: Of the empty loop that ran next to it.
    """
    missed = excused = 0
    for k in np.flatnonzero(times.overshoot_s > 0):
        overlaps = (stalls[:, 0] < times.received[k]) & (stalls[:, 1] > times.due[k])
        covers = stalls[:, 1] - stalls[:, 0] >= times.overshoot_s[k]
        if (overlaps & covers).any():
            excused += 1
        else:
            missed += 1
    return Verdict(len(times.due), missed, excused)
