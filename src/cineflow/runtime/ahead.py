"""Running the next frames of a clip before they are asked for, several at once.

A stream asks its engine for one frame after the other, and reads the result in between, so a clip
would keep one core busy at a time. What a model without state sees depends on the frames alone. Its
runs begin ahead of the stream, in threads of their own. The results are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import numpy as np

from cineflow.errors import CineflowError
from cineflow.runtime.engine import Engine
from cineflow.runtime.feed import FrameFeed
from cineflow.spec import ModelSpec

Arrays = Mapping[str, np.ndarray]


def runs_are_independent(spec: ModelSpec) -> bool:
    """Whether a run needs only frames: no result of the run before, and nothing that is given."""
    return not spec.states and not spec.given_inputs


@contextmanager
def running_ahead(
    engine: Engine, spec: ModelSpec, frames: Iterable[np.ndarray], workers: int
) -> Iterator[Engine]:
    """An engine for one stream of `frames`, all of them in their order.

    Args:
        engine: Runs the model.
        spec: The model.
        frames: As they will be pushed: no frame is lost, and none begins a beat.
        workers: Runs at once, each in its own thread. With one, and where a run needs the result of
            the one before, `engine` itself is returned.
    """
    concurrent = bool(getattr(engine, "concurrent", False))
    if workers < 2 or not concurrent or not runs_are_independent(spec):
        yield engine
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
    try:
        yield _Ahead(engine, _inputs_of(spec, frames), pool, depth=workers + 1)
    finally:
        pool.shutdown(cancel_futures=True)


def _inputs_of(spec: ModelSpec, frames: Iterable[np.ndarray]) -> Iterator[Arrays]:
    """The inputs of each run; ends before a frame that the stream will refuse."""
    feed, before = FrameFeed(spec), None
    for frame in frames:
        try:
            image = feed.checked(frame, before)
            inputs, before, _ = feed.inputs(before, image, renew=False)
        except CineflowError:
            return
        if inputs is not None:
            yield inputs


class _Ahead:
    """An engine whose next runs have begun."""

    def __init__(
        self, engine: Engine, inputs: Iterator[Arrays], pool: ThreadPoolExecutor, depth: int
    ) -> None:
        self.name, self.model, self.kernels = engine.name, engine.model, engine.kernels
        self._engine, self._inputs, self._pool = engine, inputs, pool
        self._begun: deque[tuple[Arrays, Future[dict[str, np.ndarray]]]] = deque()
        self._begin(depth)

    def _begin(self, count: int) -> None:
        for inputs in islice(self._inputs, count):
            self._begun.append((inputs, self._pool.submit(self._engine.run, inputs)))

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """As `Engine.run`; the result of the run that was begun, if that had the same inputs."""
        if not self._begun or not _equal(self._begun[0][0], inputs):
            return self._engine.run(inputs)
        _, result = self._begun.popleft()
        self._begin(1)
        return result.result()


def _equal(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )
