"""The figures that serving must reach, each measured against its limit.

    python -m benchmarks.serving.figures [added] [ring] [state] [opening] [first] [stop] [memory]

Without a name all but `memory` run. A figure is a difference or a ratio of what was measured in
turn, frame by frame, in one process. Run it on a quiet machine: it exits with 1 if a limit is not
kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processor import processor_and_cores
from benchmarks.repeat import repeat_line
from benchmarks.serving.identity import FEEDS, identity
from cineflow.export import export_bundle, write_repository
from cineflow.phantom import ShortAxisPhantom
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream as InProcess
from cineflow.serving import TritonServer, install_server
from cineflow_client import Client

Push = Callable[[np.ndarray], Any]

#: Frames that are not measured, before those that are.
WARM_UP = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("figures", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--frames", type=int, default=400, help="frames of a figure in turn")
    parser.add_argument("--memory-frames", type=int, default=200_000)
    given = parser.parse_args(arguments)
    if unknown := set(given.figures) - set(FIGURES):
        parser.error(f"no figure {sorted(unknown)}; there are {list(FIGURES)}")
    print(processor_and_cores())
    kept = True
    for name in given.figures or [one for one in FIGURES if one != "memory"]:
        for what, value, limit, unit in FIGURES[name](given):
            kept &= value <= limit
            line = f"{name:<8} {what:<62} {value:8.2f} {unit:<3}"
            verdict = "kept" if value <= limit else "NOT KEPT"
            print(f"{line} limit {limit:g} {unit}  {verdict}" if np.isfinite(limit) else line)
    print(repeat_line())
    return 0 if kept else 1


Rows = Iterator[tuple[str, float, float, str]]


def added(given: Any) -> Rows:
    """What serving adds to the default tracker at 256 x 256."""
    bundle = Bundle.load("lucas_kanade")
    frames = speckle(256)
    with served([bundle]) as server, Client(server.url) as client, contextlib.ExitStack() as stack:
        engine = open_engine(bundle)
        ways: dict[str, Push] = {"in process": InProcess(engine, bundle.spec).push}
        ways["grpc"] = stack.enter_context(client.stream("lucas_kanade", "grpc")).push
        parts: list[tuple[float, float, float]] = []
        by_ring = stack.enter_context(client.stream("lucas_kanade", "shm"))

        def push(frame: np.ndarray) -> None:
            times = by_ring.push(frame).times
            assert times is not None
            there, back = times.started_s - times.sent_s, times.received_s - times.computed_s
            parts.append((1e3 * there, times.compute_ms, 1e3 * back))  # one machine, one clock

        ways["shm"] = push
        took = in_turn(ways, frames, given.frames)
    here = float(np.median(took["in process"]))
    yield f"shared memory, p50 over {here:.1f} ms in process", p50(took, "shm") - here, 1.5, "ms"
    yield "gRPC tensors, the same", p50(took, "grpc") - here, float("inf"), "ms"
    there, compute, back = np.median(parts[WARM_UP:], axis=0).tolist()
    for words, value in (
        ("of shared memory: from push to the computation", there),
        ("the computation", compute),
        ("from there to the client's reader", back),
        ("from there to the caller", p50(took, "shm") - there - compute - back),
    ):
        yield words, value, float("inf"), "ms"


def ring(given: Any) -> Rows:
    """An identity model at 800 x 600: the time that the ring adds, and that gRPC tensors add."""
    feed, ((name, dtype, _),) = FEEDS["frame"]
    shape = (1, 1, 600, 800)
    recipe = identity("frame")
    spec = replace(
        recipe.spec,
        inputs=(replace(recipe.spec.inputs[0], shape=shape),),
        outputs=(replace(recipe.spec.outputs[0], shape=shape),),
        feed=feed,
    )

    def example_inputs(sizes: Any, seed: int) -> Any:
        import torch

        values = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed))
        return {name: values.to(getattr(torch, dtype))}

    recipe = replace(recipe, spec=spec, example_inputs=example_inputs)
    frames = np.random.default_rng(0).integers(0, 256, (8, 600, 800), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(recipe, Path(folder, "identity"))
        with (
            served([bundle]) as server,
            Client(server.url) as client,
            client.stream(bundle.served_name, "shm") as shm,
            client.stream(bundle.served_name, "grpc") as grpc,
        ):
            here = InProcess(open_engine(bundle), bundle.spec)
            ways: dict[str, Push] = {"in process": here.push, "shm": shm.push, "grpc": grpc.push}
            took = in_turn(ways, frames, given.frames)
    base = p50(took, "in process")
    by_ring, by_grpc = p50(took, "shm") - base, p50(took, "grpc") - base
    yield f"ring adds {by_ring:.2f} ms, gRPC {by_grpc:.2f} ms", 100 * by_ring / by_grpc, 20, "%"


def state(given: Any) -> Rows:
    """What keeping a stream's state at the client costs, of the round trip."""
    bundle = Bundle.load("lucas_kanade")
    with (
        served([bundle]) as server,
        Client(server.url) as client,
        client.stream("lucas_kanade", "shm", resume_s=0) as without,
        client.stream("lucas_kanade", "shm") as with_state,
    ):
        ways: dict[str, Push] = {"without": without.push, "with": with_state.push}
        took = in_turn(ways, speckle(256), given.frames)
    # Every 16th frame brings the state, so it is the mean that counts; the slowest twentieth of
    # each is left out.
    cost = trimmed(took["with"]) / trimmed(took["without"]) - 1
    yield "state with every 16th frame, of the mean round trip", 100 * cost, 10, "%"


def opening(given: Any) -> Rows:
    """The 2nd to 16th stream, from `Client.stream` to the first result."""
    frame = speckle(256)[0]
    for live in (0, 2):
        with (
            served([Bundle.load("lucas_kanade")]) as server,
            Client(server.url) as client,
            contextlib.ExitStack() as stack,
        ):
            first = stack.enter_context(client.stream("lucas_kanade", "shm"))
            first.push(frame)
            stack.enter_context(streaming(server.url, live))
            took = []
            for _ in range(15 - live):
                began = time.perf_counter()
                one = stack.enter_context(client.stream("lucas_kanade", "shm"))
                one.push(frame)
                took.append(1e3 * (time.perf_counter() - began))
        words = f"slowest of {len(took)}, {live} streams at 30 frames/s next to it"
        yield words, max(took), 100, "ms"


def first(given: Any) -> Rows:
    """The first pair of frames after the start of a server, next to those that follow."""
    found, frames = [], speckle(256)
    for _ in range(3):  # the best of three servers: anything else on the machine only adds to it
        with (
            served([Bundle.load("lucas_kanade")]) as server,
            Client(server.url) as client,
            client.stream("lucas_kanade", "shm") as stream,
        ):
            took = [push_ms(stream, frame) for frame in turns(frames, 2 + WARM_UP)]
        found.append((took[1] / float(np.median(took[2:])), took[0]))
    ratio, began_ms = min(found)
    yield f"first pair over those that follow; the frame before it {began_ms:.0f} ms", ratio, 2, ""


def push_ms(stream: Any, frame: np.ndarray) -> float:
    latency_ms = stream.push(frame).latency_ms
    assert latency_ms is not None
    return float(latency_ms)


def stop(given: Any) -> Rows:
    """SIGTERM to `cineflow serve` with a live stream, until it has ended."""
    took, frame = [], speckle(64)[0]
    for _ in range(3):  # the best, as for the first pair
        program = subprocess.Popen(
            [Path(sys.executable).with_name("cineflow"), "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        url = next(one for line in program.stdout if (one := _ADDRESS.search(line)))[1]
        with Client(url) as client, client.stream("lucas_kanade", resume_s=0) as stream:
            stream.push(frame)
            began = time.perf_counter()
            program.send_signal(signal.SIGTERM)
            program.communicate()
            took.append(time.perf_counter() - began)
        assert program.returncode == 0, program.returncode
    yield "SIGTERM until the end, with a live stream", min(took), 3, "s"


_ADDRESS = re.compile(r" on (\S+) \(gRPC\)")


def memory(given: Any) -> Rows:
    """Memory of server and client over many frames of 64 x 64."""
    frames = speckle(64)
    with (
        served([Bundle.load("lucas_kanade")]) as server,
        Client(server.url) as client,
        client.stream("lucas_kanade", "shm") as stream,
    ):
        assert server.pid is not None
        pids = [server.pid, *children(server.pid)]
        count = given.memory_frames
        settled: tuple[float, float, int, int] | None = None
        for k, frame in enumerate(turns(frames, count)):
            stream.push(frame)
            if k == count // 10:
                settled = usage(pids, server.name)
        assert settled is not None
        ended = usage(pids, server.name)
    names = ("server's memory", "client's memory", "descriptors", "segments")
    for name, before, after in zip(names, settled, ended, strict=True):
        if name.endswith("memory"):
            words = f"{name}, {before:.0f} MB after {count // 10} of {count} frames, grew"
            yield words, 100 * (after / before - 1), 2, "%"
        else:
            yield f"{name} more than then", after - before, 0, ""


FIGURES: dict[str, Callable[[Any], Rows]] = {
    "added": added,
    "ring": ring,
    "state": state,
    "opening": opening,
    "first": first,
    "stop": stop,
    "memory": memory,
}


# --- How it is measured ---------------------------------------------------------------------------


@contextlib.contextmanager
def served(bundles: Sequence[Bundle]) -> Iterator[TritonServer]:
    """A server of its own with some bundles."""
    with tempfile.TemporaryDirectory() as folder:
        repository = write_repository(list(bundles), Path(folder, "models"))
        with TritonServer(repository, binary=install_server()) as server:
            yield server


def speckle(side: int) -> np.ndarray:
    """Frames of the phantom's systole, uint8 [T, side, side]."""
    phantom = ShortAxisPhantom(seed=9003)
    frames = phantom.frames[phantom.ed : phantom.es + 1]
    return np.ascontiguousarray(frames[:, :side, :side])


def turns(frames: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Frames there and back, so that no pair jumps."""
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    for k in range(count):
        yield frames[order[k % len(order)]]


def in_turn(ways: dict[str, Push], frames: np.ndarray, count: int) -> dict[str, list[float]]:
    """ms of each frame by way; each frame goes every way before the next one does."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for k, frame in enumerate(turns(frames, WARM_UP + count)):
        for name, push in ways.items():
            began = time.perf_counter()
            push(frame)
            if k >= WARM_UP:
                took[name].append(1e3 * (time.perf_counter() - began))
    return took


def p50(took: dict[str, list[float]], name: str) -> float:
    return float(np.median(took[name]))


def trimmed(each: list[float]) -> float:
    """The mean without the slowest twentieth."""
    ordered = np.sort(each)
    return float(ordered[: -max(1, len(ordered) // 20)].mean())


@contextlib.contextmanager
def streaming(url: str, count: int) -> Iterator[None]:
    """Streams at 30 frames per second next to what is measured."""
    frames, ended = speckle(256), threading.Event()

    def run() -> None:
        with Client(url) as client, client.stream("lucas_kanade", "shm") as stream:
            for frame in turns(frames, 1_000_000):
                due = time.monotonic() + 1 / 30
                stream.push(frame)
                if ended.wait(max(0.0, due - time.monotonic())):
                    return

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def children(pid: int) -> list[int]:
    """Process ids of the processes that `pid` started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(one) for one in path.read_text().split()]
    return found


def usage(pids: Sequence[int], server: str) -> tuple[float, float, int, int]:
    """MB of the server's processes and of this one; their descriptors and segments in /dev/shm."""
    own = os.getpid()
    descriptors = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (*pids, own))
    segments = [one for one in os.listdir("/dev/shm") if server in one or f"-{own}-" in one]
    return sum(map(resident_mb, pids)), resident_mb(own), descriptors, len(segments)


def resident_mb(pid: int) -> float:
    """Memory that a process has to itself, and maps of files, MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
