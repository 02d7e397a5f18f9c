"""Shared by the latency benchmarks: one cine with known motion, and one way to measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.repeat import repeat_line
from cineflow.export import write_repository
from cineflow.motion.metrics import end_point_error
from cineflow.phantom import ShortAxisPhantom
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer, install_server
from cineflow_client import LatencyLog

ROUNDS = 150
FRAME_PERIOD_MS = 1000 / 30

#: Medians of the identity models, ms, by feed and transport: in process, served.
COSTS: dict[tuple[str, str], tuple[float, float]] = {}

#: Measures a step: from a frame, uint8 [H, W], to the flow since the previous frame, if any.
Measure = Callable[[Callable[[np.ndarray], np.ndarray | None]], None]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the transport costs by feed, and the line that repeats the run."""
    if COSTS:
        terminalreporter.section("identity models, 256x256: p50 in ms, measured in turn")
        terminalreporter.write_line(
            f"{'feed':<12}{'transport':<12}{'in process':>12}{'served':>12}{'difference':>12}"
        )
    for (kind, transport), (here, there) in COSTS.items():
        terminalreporter.write_line(
            f"{kind:<12}{transport:<12}{here:>12.3f}{there:>12.3f}{there - here:>12.3f}"
        )
    terminalreporter.write_line(repeat_line())


@pytest.fixture(scope="session")
def phantom() -> ShortAxisPhantom:
    """The speckle phantom at 256x256 px. Its motion is known; it is easier than a patient."""
    return ShortAxisPhantom(seed=9003)


@pytest.fixture(scope="session")
def systole(phantom: ShortAxisPhantom) -> np.ndarray:
    """The frames from end-diastole to end-systole, uint8 [T, 256, 256]."""
    return np.ascontiguousarray(phantom.frames[phantom.ed : phantom.es + 1])


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The default model."""
    return Bundle.load("lucas_kanade")


@pytest.fixture(scope="session")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server with the default model. Only this process uses it."""
    repository = write_repository([bundle], tmp_path_factory.mktemp("bench") / "models")
    log = Path(tmp_path_factory.mktemp("log"), "server.log")
    with TritonServer(repository, binary=install_server(), log_file=log) as running:
        yield running


@pytest.fixture
def measure(benchmark: BenchmarkFixture, systole: np.ndarray, phantom: ShortAxisPhantom) -> Measure:
    """Measure `step(frame)`, which returns the flow since the previous frame.

    The frames of the systole are played forwards and backwards, so that no pair jumps. The figures
    go into pytest-benchmark's table. Percentiles and deadlines missed at 30 frames/s go into the
    JSON's `extra_info`, next to the error on the phantom's wall.
    """

    def run(step: Callable[[np.ndarray], np.ndarray | None]) -> None:
        order = np.r_[0 : len(systole), len(systole) - 2 : 0 : -1]
        log = LatencyLog(FRAME_PERIOD_MS)
        count = 0
        found, still = [], []

        def one() -> None:
            nonlocal count
            here = order[count % len(order)]
            started = time.perf_counter()
            flow = step(systole[here])
            elapsed_ms = 1e3 * (time.perf_counter() - started)
            if count >= len(systole):
                log.add(elapsed_ms)
            if flow is not None and 0 < count < len(systole):  # forwards, where the truth is known
                i = phantom.ed + here - 1
                truth, wall = phantom.flow(i, i + 1), phantom.myocardium(i)
                found.append(end_point_error(flow, truth, wall).mean_px)
                still.append(end_point_error(np.zeros_like(truth), truth, wall).mean_px)
            count += 1

        for _ in range(len(systole)):  # not timed: accuracy and warm-up
            one()
        benchmark.pedantic(one, rounds=ROUNDS, iterations=1)
        figures = log.summary()
        benchmark.extra_info.update(
            p50_ms=figures.p50_ms,
            p95_ms=figures.p95_ms,
            p99_ms=figures.p99_ms,
            max_ms=figures.max_ms,
            missed_deadlines_at_30_fps=figures.missed_deadlines,
            error_px=float(np.mean(found)),
            error_of_no_motion_px=float(np.mean(still)),
            frames=f"speckle phantom 256x256, seed {phantom.seed}: easier than a patient",
            opencv=cv2.__version__,
        )

    return run
