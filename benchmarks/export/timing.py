"""Times of several calls, taken in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

#: Runs before the first that counts: caches, allocators and compilers warm up.
WARM_UP = 3


@dataclass(frozen=True)
class Times:
    """Milliseconds of one call over all rounds.

    Attributes:
        best: The fastest: the time of the call when it has the core to itself.
        median: What a user sees on this machine as it is.
    """

    best: float
    median: float

    def to_dict(self) -> dict[str, float]:
        """For the JSON, rounded to the microsecond."""
        return {"best": round(self.best, 3), "median": round(self.median, 3)}


def in_turn(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    pause_s: float = 0.0,
    say: Callable[[str], object] = lambda words: None,
) -> dict[str, Times]:
    """Time every call once per round, so that a busy machine slows them equally.

    Each round has its own order: the call before decides what is in the caches.

    Args:
        calls: By name.
        rounds: That count; `WARM_UP` go before them.
        pause_s: Before each call.
        say: Called before each round with a few words.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    random = np.random.default_rng(0)
    for round_ in range(WARM_UP + rounds):
        say(f"round {round_ + 1} of {WARM_UP + rounds}")
        for name in random.permutation(list(calls)):
            call = calls[name]
            if pause_s:
                time.sleep(pause_s)
                call()  # wakes its own workers and fills the caches, as for the next frame
            start = time.perf_counter()
            call()
            if round_ >= WARM_UP:
                samples[name].append(1e3 * (time.perf_counter() - start))
    return {name: Times(min(taken), float(np.median(taken))) for name, taken in samples.items()}
