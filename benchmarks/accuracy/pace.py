"""Time per pair, every method in turn on the same pair: a busy moment hits them all alike."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.measure import Tracker


def stream_push() -> Tracker:
    """`MotionStream.push`: the engine, the composition and the quality of one frame."""
    from cineflow.runtime.bundle import Bundle
    from cineflow.runtime.engine import open_engine
    from cineflow.runtime.stream import MotionStream

    bundle = Bundle.load("lucas_kanade")
    stream = MotionStream(open_engine(bundle), bundle.spec)
    return lambda previous, current: stream.push(current).flow


def pace(methods: Mapping[str, Tracker], case: Case, rounds: int = 3) -> dict[str, list[float]]:
    """Milliseconds per pair by method, [median, fastest]; the first pair is not counted."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for a, b in zip(case.frames[:-1], case.frames[1:], strict=True):
            for name, track in methods.items():
                start = time.perf_counter()
                track(a, b)
                times[name].append(1000.0 * (time.perf_counter() - start))
    return {
        name: [float(np.median(found[1:])), float(np.min(found[1:]))]
        for name, found in times.items()
    }
