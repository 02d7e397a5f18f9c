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
        best: The fastest: what the call takes when nothing else has the core.
        median: What a user sees on this machine as it is.
    """

    best: float
    median: float

    def to_dict(self) -> dict[str, float]:
        """For the JSON, rounded to the microsecond."""
        return {"best": round(self.best, 3), "median": round(self.median, 3)}


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Time every call once per round, so that a busy machine slows them alike."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(WARM_UP + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_ >= WARM_UP:
                samples[name].append(1e3 * (time.perf_counter() - start))
    return {name: Times(min(taken), float(np.median(taken))) for name, taken in samples.items()}
