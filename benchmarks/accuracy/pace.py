"""Time per pair. Methods take turns on each pair, so that a busy moment affects all of them alike.

python -m benchmarks.accuracy.pace [--out build/bench] [--docs]
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.accuracy.cases import Case, held_out
from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.methods import OURS, bundle, peers
from benchmarks.accuracy.output import arguments, publish
from benchmarks.processor import processor_and_cores

#: Pause between two methods, s, as worker threads of the first keep spinning for a while.
_REST = 0.02


def stream_push() -> Tracker:
    """`MotionStream.push`: the engine, the composition and the quality of one frame."""
    from cineflow.runtime import open_engine
    from cineflow.runtime.bundle import Bundle
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
                time.sleep(_REST)
                start = time.perf_counter()
                track(a, b)
                times[name].append(1000.0 * (time.perf_counter() - start))
    return {
        name: [float(np.median(found[1:])), float(np.min(found[1:]))]
        for name, found in times.items()
    }


def table(result: Mapping[str, Any]) -> str:
    """Markdown: the machine, and one row per method.

    Args:
        result: "machine" and "times" (the result of `pace`); without times, a line that says so.
    """
    if not result["times"]:
        return f"{OURS} and its peers have not been timed on a named machine yet.\n"
    lines = [f"On {result['machine']}:", ""]
    lines += ["| method | ms per pair, median | fastest |", "|---|---|---|"]
    lines += [f"| {name} | {ms[0]:.1f} | {ms[1]:.1f} |" for name, ms in result["times"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    given = arguments(__doc__).parse_args()
    methods = {
        f"{OURS}, 1 thread": bundle(threads=1),
        f"{OURS}, 2 threads": bundle(threads=2),
        "MotionStream.push, default threads": stream_push(),
        **{name: track for name, track in peers().items() if name != "zero flow"},
    }
    result = {"machine": processor_and_cores(), "times": pace(methods, held_out()[0])}
    publish(given, "accuracy_pace", table(result), result, "motion/accuracy.md")


if __name__ == "__main__":
    main()
