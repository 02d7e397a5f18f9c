"""The cases of `cineflow bench serve`, and how one is run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.cli.bench.loop import Times, Verdict, judge
from cineflow.cli.bench.source import WARM_UP_FRAMES, Job
from cineflow.errors import ArgumentError

if TYPE_CHECKING:
    from cineflow_client import Client, ServerTimes

#: Time between "all are ready" and the first frame, s.
_LEAD_S = 0.2


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        name: For people.
        mode: "in process", "grpc" or "shm".
        fps: Frames per second; 0: as fast as results come.
        count: Frames of each stream.
        streams: Sources at once, each a process with a stream of its own.
        pause_every, pause_s: As in `Job`.
        load: Processes that only compute, next to it.
        greedy: Further streams that send as fast as results come, four at a time.
        gpu_load: Whether one more process keeps the GPU busy.
        newest: As in `Job`.
    """

    name: str
    mode: str
    fps: float
    count: int
    streams: int = 1
    pause_every: int = 0
    pause_s: float = 0.0
    load: int = 0
    greedy: int = 0
    gpu_load: bool = False
    newest: bool = False

    @property
    def split(self) -> bool:
        """Whether Triton knows where the time went: of streams at once it only sees the queue."""
        return self.mode != "in process" and self.streams + self.greedy == 1

    @property
    def seconds(self) -> float:
        """About how long it takes; 100 frames/s where nothing is paced."""
        pauses = self.count // self.pause_every if self.pause_every else 0
        return 2.0 + self.count / (self.fps or 100.0) + pauses * self.pause_s


@dataclass(frozen=True, eq=False)
class Measured:
    """The outcome of a case.

    Attributes:
        case: The case.
        times: Of each stream.
        stalls: Of the empty loop next to it, (due, woke) in s, f64 [K, 2].
        warm_up_ms: Latency of each stream's first frames, ms.
        server_ms: Mean time of a frame in Triton's queue, and of its computation, ms; None where
            `Case.split` says so. A frame that goes straight to the model's process has no queue.
    """

    case: Case
    times: tuple[Times, ...]
    stalls: np.ndarray
    warm_up_ms: tuple[np.ndarray, ...]
    server_ms: tuple[float, float] | None

    @property
    def latency_ms(self) -> np.ndarray:
        """Of all frames that have a result; after a pause only those that it precedes."""
        each = [one.latency_ms for one in self.times]
        if self.case.pause_every:
            each = [one[:: self.case.pause_every][1:] for one in each]
        found = np.concatenate(each)
        return np.asarray(found[~np.isnan(found)])

    @property
    def dropped(self) -> int:
        """Frames that were dropped, of all streams."""
        return sum(one.dropped for one in self.times)

    @property
    def verdict(self) -> Verdict | None:
        """Whether the rate holds; None where nothing was paced. Own load excuses nothing.

        A display drops frames instead of being late, so there is nothing to hold.
        """
        if not self.case.fps or self.case.pause_every or self.case.newest:
            return None
        stalls = self.stalls[:0] if self.case.load else self.stalls
        return sum((judge(one, stalls) for one in self.times), Verdict(0, 0, 0))

    def figures(self) -> dict[str, Any]:
        """The figures of the case, ms; for JSON and the table."""
        each = self.latency_ms
        points = np.percentile(each, [50, 95, 99, 99.9])
        names = ("p50", "p95", "p99", "p99.9")
        found: dict[str, Any] = dict(zip(names, points.tolist(), strict=True))
        found |= {"max": float(each.max()), "jitter": float(points[2] - points[0])}
        found |= {"dropped": self.dropped}
        if self.server_ms is not None:
            sent = self.case.streams * (WARM_UP_FRAMES + self.case.count)
            reached = sent / (sent - self.dropped)  # the server has not seen the dropped ones
            queue, model = reached * self.server_ms[0], self.server_ms[1]
            mean = float(each.mean())
            found |= {"queue": queue, "model": model, "transport": max(0.0, mean - queue - model)}
        return found


def standard_cases(rates: list[float], streams: int, seconds: float) -> list[Case]:
    """Those that fit into three minutes."""
    low, top = min(rates), max(rates)
    return [
        *(Case(f"{mode}, unpaced", mode, 0.0, 200) for mode in ("in process", "grpc", "shm")),
        *(Case(f"{fps:g} fps", "shm", fps, round(fps * seconds)) for fps in rates),
        *(
            [Case(f"{low:g} fps, {streams} streams", "shm", low, round(low * seconds), streams)]
            if streams > 1
            else []
        ),
        Case("after 2 s of silence", "shm", low, 20, pause_every=4, pause_s=2.0),
        Case(
            f"{low:g} fps, every core busy",
            "shm",
            low,
            round(low * seconds / 2),
            load=os.cpu_count() or 1,
        ),
        Case(
            f"{low:g} fps next to a greedy stream",
            "shm",
            low,
            round(low * seconds / 2),
            greedy=1,
        ),
        *(
            [Case(f"{low:g} fps, GPU busy", "shm", low, round(low * seconds / 2), gpu_load=True)]
            if has_gpu()
            else []
        ),
        Case(f"{top:g} fps, newest first", "shm", top, round(top * seconds / 3), newest=True),
    ]


def full_cases(rates: list[float], streams: int, seconds: float) -> list[Case]:
    """Every rate, number of streams and transport."""
    return [
        *standard_cases(rates, 1, seconds),
        *(
            Case(f"{fps:g} fps, {count} x {mode}", mode, fps, round(fps * seconds), count)
            for mode in ("in process", "grpc", "shm")
            for fps in rates
            for count in range(1, streams + 1)
        ),
    ]


class Runner:
    """Runs cases against one server.

    Args:
        client: A connection to it.
        template: The job of a source: frames, further inputs and model; the case sets the rest.
        bundle: Folder of the bundle, for the cases in process.
    """

    def __init__(self, client: Client, template: Job, bundle: Path) -> None:
        self._client = client
        self._template = template
        self._bundle = bundle

    def run(self, case: Case, alive: Callable[[], None] = lambda: None) -> Measured:
        """Measure one case. No process outlives this.

        Args:
            case: What to measure.
            alive: Called now and then; it may raise to end the measurement.

        Raises:
            ArgumentError: A source failed; the error has what it wrote.
        """
        before = self._server_times()
        with contextlib.ExitStack() as stack:
            scratch = tempfile.TemporaryDirectory(prefix="cineflow-bench-")
            folder = Path(stack.enter_context(scratch))
            jobs = [self._job(case, folder / f"{k}.npz") for k in range(case.streams)]
            jobs.append(Job(out=str(folder / "empty.npz"), mode="empty"))
            for k in range(case.greedy):
                jobs.append(replace(self._job(case, folder / f"greedy-{k}.npz"), mode="greedy"))
            sources = [stack.enter_context(_source(job)) for job in jobs]
            for source in sources:
                source.wait_ready()
            paced, others = sources[: case.streams], sources[case.streams :]
            for _ in range(case.load):
                stack.enter_context(busy(_COMPUTE))
            if case.gpu_load:
                stack.enter_context(busy(gpu_load("cuda")))
            start_s = time.monotonic() + _LEAD_S
            for source in paced:
                source.say(repr(start_s))
            for source in paced:
                source.wait(alive)
            for source in others:
                source.say("end")
                source.wait(alive)
            found = [dict(np.load(job.out)) for job in jobs[: case.streams + 1]]
        period_s = 1 / case.fps if case.fps else 0.0
        return Measured(
            case,
            tuple(Times(one["due"], one["sent"], one["received"], period_s) for one in found[:-1]),
            found[-1]["stalls"],
            tuple(one["warm_up_ms"] for one in found[:-1]),
            _per_frame(case, before, self._server_times(), found[0]) if case.split else None,
        )

    def _job(self, case: Case, out: Path) -> Job:
        return replace(
            self._template,
            out=str(out),
            mode=case.mode,
            count=case.count,
            period_s=1 / case.fps if case.fps else 0.0,
            pause_every=case.pause_every,
            pause_s=case.pause_s,
            newest=case.newest,
            target=str(self._bundle) if case.mode == "in process" else self._client.url,
        )

    def _server_times(self) -> ServerTimes:
        return self._client.times(self._template.model)


def _per_frame(
    case: Case, before: ServerTimes, after: ServerTimes, found: Mapping[str, np.ndarray]
) -> tuple[float, float]:
    """Mean ms of a frame in the queue and in the model."""
    frames = case.streams * (WARM_UP_FRAMES + case.count)
    computed_ms = found["computed_ms"]
    model_ms = float(computed_ms.mean()) if computed_ms.size else 0.0
    return 1e3 * (after.queue_s - before.queue_s) / frames, model_ms


class _Process:
    """A source's process; what it writes to stderr is kept for the error."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._said = Path(job.out).with_suffix(".txt")
        with open(self._said, "w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cineflow.cli.bench.source"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self.say(job.to_json())

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `wait` says why it ended
            print(line, file=self._process.stdin, flush=True)

    def wait_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.wait(lambda: None)

    def wait(self, alive: Callable[[], None]) -> None:
        while self._process.poll() is None:
            alive()
            time.sleep(0.02)
        if self._process.returncode or not Path(self._job.out).exists():
            said = self._said.read_text(errors="replace").strip().splitlines()
            raise ArgumentError(
                f"a source of frames ({self._job.mode}) that runs to its end",
                f"exit code {self._process.returncode}: {said[-1] if said else 'without a word'}",
            )

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


@contextlib.contextmanager
def _source(job: Job) -> Iterator[_Process]:
    process = _Process(job)
    try:
        yield process
    finally:
        process.end()


#: A program that only computes.
_COMPUTE = "import os\np = os.getppid()\nwhile os.getppid() == p:\n    sum(range(100000))"


def has_gpu() -> bool:
    """Whether PyTorch, which makes the competing load, sees a GPU here."""
    if importlib.util.find_spec("torch") is None or not Path("/proc/driver/nvidia").is_dir():
        return False
    import torch

    return bool(torch.cuda.is_available())


def gpu_load(device: str) -> str:
    """A program that keeps a device of PyTorch busy with products of large matrices."""
    return (
        "import os, torch\n"
        "p = os.getppid()\n"
        f"a = torch.ones(2048, 2048, device={device!r})\n"
        "while os.getppid() == p:\n"
        "    (a @ a).sum().item()\n"
    )


@contextlib.contextmanager
def busy(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that only computes. It ends with this one, also if this one is killed."""
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
