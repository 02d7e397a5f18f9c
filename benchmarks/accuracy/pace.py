"""Time per pair. Methods take turns on each pair, so that a busy moment affects all of them alike.

It also prints what `Stream.push` costs beyond its engine on one thread: the checks, the
composition and the quality. The aim is 1.5 ms at most at 256 x 256 px.

python -m benchmarks.accuracy.pace [--out build/bench] [--docs]
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy.cases import Case, held_out
from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.methods import OURS, bundle, peers
from benchmarks.accuracy.output import arguments, publish
from benchmarks.processor import processor_and_cores

if TYPE_CHECKING:
    from cineflow.runtime.engine import Engine

#: Pause between two methods, s, as worker threads of the first keep spinning for a while.
_REST = 0.02


#: What `Stream.push` may cost beyond the engine at 256 x 256 px, ms.
BEYOND_ENGINE_MS = 1.5


def stream_push(threads: int | None = None) -> Tracker:
    """`Stream.push`: the engine, the composition and the quality of one frame."""
    from cineflow.runtime import open_engine
    from cineflow.runtime.bundle import Bundle
    from cineflow.runtime.stream import Stream

    bundle = Bundle.load("lucas_kanade")
    stream = Stream(open_engine(bundle, threads=threads), bundle.spec)

    def push(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        flow = stream.push(current).flow
        assert flow is not None  # the model has one
        return flow

    return push


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


class TimedEngine:
    """An engine that adds up its own CPU time, s."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.model, self.kernels = engine.name, engine.model, engine.kernels
        self.seconds = 0.0

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        start = time.thread_time()
        outputs = self._engine.run(inputs)
        self.seconds += time.thread_time() - start
        return outputs


def beyond_engine(case: Case, rounds: int = 5) -> tuple[list[float], list[float]]:
    """Milliseconds of the engine, and of the rest of `Stream.push`, for each frame on one thread.

    Both parts of a frame are timed in the same push. They are CPU time of the thread, which does
    not grow while other programs have the processor. The first frame has no pair and is left out.
    The kernels' threads are set back afterwards.
    """
    from cineflow import _C
    from cineflow.runtime import open_engine
    from cineflow.runtime.bundle import Bundle
    from cineflow.runtime.stream import Stream

    bundle, before = Bundle.load("lucas_kanade"), _C.thread_count()
    timed = TimedEngine(open_engine(bundle, threads=1))
    engine, rest = [], []
    _C.set_thread_count(1)
    try:
        for _ in range(rounds):
            stream = Stream(timed, bundle.spec)
            for number, frame in enumerate(case.frames):
                timed.seconds, start = 0.0, time.thread_time()
                stream.push(frame)
                whole = time.thread_time() - start
                if number:
                    engine.append(1000.0 * timed.seconds)
                    rest.append(1000.0 * (whole - timed.seconds))
    finally:
        _C.set_thread_count(before)
    return engine, rest


def beyond_engine_line(engine: list[float], rest: list[float]) -> str:
    """One sentence: what a push costs beyond its engine, and whether that is within the aim."""
    typical, fastest = float(np.median(rest)), float(np.min(rest))
    verdict = "within" if typical <= BEYOND_ENGINE_MS else "above"
    return (
        f"Stream.push beyond its engine, 1 thread: {typical:.2f} ms median, {fastest:.2f} ms "
        f"fastest; the engine {np.median(engine):.2f} ms median. "
        f"The median is {verdict} {BEYOND_ENGINE_MS} ms."
    )


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
    case = held_out()[0]
    print(beyond_engine_line(*beyond_engine(case)))
    methods = {
        f"{OURS}, 1 thread": bundle(threads=1),
        f"{OURS}, 2 threads": bundle(threads=2),
        "Stream.push, default threads": stream_push(),
        **{name: track for name, track in peers().items() if name != "zero flow"},
    }
    result = {"machine": processor_and_cores(), "times": pace(methods, case)}
    publish(given, "accuracy_pace", table(result), result, "motion/accuracy.md")


if __name__ == "__main__":
    main()
