"""What a served model costs more than the same model in process, for each feed.

The models return the newest frame, so the engine hardly counts. Bytes on the wire are equal. All
feeds are measured in turn, frame by frame, so that a busy machine slows all of them alike. The
table at the end has them side by side.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.serving.conftest import COSTS, ROUNDS
from benchmarks.serving.identity import FEEDS, SIDE, WINDOW, identity
from cineflow.export import export_bundle, write_repository
from cineflow.runtime import Bundle, Engine, open_engine
from cineflow.runtime.stream import Stream
from cineflow.serving import TritonServer, install_server
from cineflow_client import Client
from cineflow_client.session import Transport

pytestmark = pytest.mark.benchmark(group="identity models, served, 256x256")

_WARM_UP = 20

Step = Callable[[np.ndarray], np.ndarray | None]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("identity")
    return {kind: export_bundle(identity(kind), folder / kind) for kind in FEEDS}


@pytest.fixture(scope="module")
def client(
    bundles: Mapping[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    repository = write_repository(
        list(bundles.values()), tmp_path_factory.mktemp("kinds") / "models"
    )
    with (
        TritonServer(repository, binary=install_server()) as running,
        Client(running.url) as opened,
    ):
        yield opened


@pytest.mark.parametrize("transport", ["grpc", "shm"])
def bench_feeds(
    benchmark: BenchmarkFixture,
    bundles: Mapping[str, Bundle],
    client: Client,
    transport: Transport,
) -> None:
    """One round sends a frame through every feed. A call has no shared memory."""
    with contextlib.ExitStack() as stack:
        ways: dict[str, tuple[Step, Step]] = {}
        for kind in FEEDS:
            if kind != "call":
                stream = stack.enter_context(client.stream(f"identity_{kind}", transport))
                own = Stream(open_engine(bundles[kind]), bundles[kind].spec)
                ways[kind] = partial(_push, own), partial(_push, stream)
        if transport == "grpc":
            ways["call"] = partial(_run, open_engine(bundles["call"])), partial(_call, client)
        in_turn(benchmark, transport, ways)


def _push(stream: Any, frame: np.ndarray) -> np.ndarray | None:
    found = stream.push(frame).outputs.get("same")
    return None if found is None else found.values


def _run(engine: Engine, frame: np.ndarray) -> np.ndarray:
    return engine.run({"image": frame[None, None]})["same"]


def _call(client: Client, frame: np.ndarray) -> np.ndarray:
    return client.call("identity_call", image=frame[None, None])["same"].values


def in_turn(
    benchmark: BenchmarkFixture, transport: str, ways: Mapping[str, tuple[Step, Step]]
) -> None:
    """Measure every feed, in process and served, on the same frames, and note the medians."""
    random = np.random.default_rng(0)
    frames = itertools.cycle(random.integers(0, 256, (8, SIDE, SIDE), np.uint8))
    spent_ms: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in ways}
    count = 0

    def one() -> None:
        nonlocal count
        frame = next(frames)
        count += 1
        for kind, steps in ways.items():
            for step, spent in zip(steps, spent_ms[kind], strict=True):
                started = time.perf_counter()
                found = step(frame)
                spent.append(1e3 * (time.perf_counter() - started))
                if count > WINDOW:  # earlier, pair and window have not run
                    assert found is not None
                    assert found[0, 0, 0, 0] == frame[0, 0]

    for _ in range(_WARM_UP):
        one()
    for spent in itertools.chain.from_iterable(spent_ms.values()):
        spent.clear()
    benchmark.pedantic(one, rounds=ROUNDS, iterations=1)
    for kind, (own, served) in spent_ms.items():
        COSTS[kind, transport] = float(np.median(own)), float(np.median(served))
        benchmark.extra_info[kind] = {
            "in_process_p50_ms": float(np.median(own)),
            "served_p50_ms": float(np.median(served)),
            "difference_ms": float(np.median(served) - np.median(own)),
        }
