"""The clock of the benchmark, and the limits of this machine, measured in the same process."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from cineflow import _C
from cineflow.cli.bench.cases import busy

Call = Callable[[], Any]


def set_threads(count: int) -> None:
    """Give cineflow, torch and OpenCV the same number of threads."""
    import cv2

    _C.set_thread_count(count)
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


@contextlib.contextmanager
def processors_taken(count: int) -> Iterator[None]:
    """Another program computes on each of the last `count` processors of this process."""
    with contextlib.ExitStack() as programs:
        for processor in sorted(os.sched_getaffinity(0))[-count:] if count else []:
            programs.enter_context(
                busy(
                    f"import os\nos.sched_setaffinity(0, {{{processor}}})\n"
                    "parent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100000))"
                )
            )
        yield


#: Rounds in which the candidates take turns, so that a slow moment of a shared machine affects all.
ROUNDS = 5
#: Seconds before a turn. Other libraries' workers spin for milliseconds after a call, on the same
#: processors that the next candidate uses.
PAUSE = 0.01


@dataclass(frozen=True)
class Candidate:
    """A call and its number of threads."""

    call: Call
    threads: int


@dataclass(frozen=True)
class Times:
    """Microseconds of one candidate: the median, and the shortest, which noise affects least."""

    median: float
    shortest: float


def take_turns(candidates: dict[str, Candidate], seconds: float) -> dict[str, Times]:
    """Times candidates in turns, for `seconds` in total.

    A turn begins with a call that is not timed. It loads the candidate's data into the caches and
    wakes its workers.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    turn = max(seconds / ROUNDS / len(candidates) - PAUSE, 0.0)
    for _ in range(ROUNDS):
        for name, candidate in candidates.items():
            set_threads(candidate.threads)
            time.sleep(PAUSE)
            candidate.call()
            end = time.perf_counter() + turn
            while True:
                times[name].append(_seconds(candidate.call))
                if time.perf_counter() >= end:
                    break
    return {
        name: Times(1e6 * statistics.median(values), 1e6 * min(values))
        for name, values in times.items()
    }


@cache
def peak_gflops(threads: int) -> float:
    """The limit of arithmetic: GFLOP/s of the fastest matrix product, 2 per multiply-add."""
    set_threads(threads)
    a, b = torch.randn(768, 768), torch.randn(768, 768)
    best = min(_seconds(lambda: torch.mm(a, b)) for _ in range(40))
    return float(2 * 768**3 / best / 1e9)


@cache
def copy_gbytes(footprint: int, threads: int) -> float:
    """GB/s, read and written, of a copy that touches `footprint` bytes."""
    set_threads(threads)
    source = torch.ones(max(footprint // 8, 1024))
    target = torch.empty_like(source)
    best = min(_seconds(lambda: target.copy_(source)) for _ in range(30))
    return float(8 * source.numel() / best / 1e9)


def reachable_gain(bytes_moved: int, threads: int) -> tuple[float, float]:
    """The machine's own speed-up by `threads` threads: for copies of that size, and for FMAs."""
    footprint = _footprint(bytes_moved)
    copy = copy_gbytes(footprint, threads) / copy_gbytes(footprint, 1)
    return copy, peak_gflops(threads) / peak_gflops(1)


def roof_us(bytes_moved: int, flops: int, threads: int) -> float:
    """The shortest possible time: the longer of least memory traffic and least arithmetic."""
    memory = bytes_moved / copy_gbytes(_footprint(bytes_moved), threads) / 1e3
    return max(memory, flops / peak_gflops(threads) / 1e3)


def _footprint(bytes_moved: int) -> int:
    """The next power of two, so that few sizes are measured."""
    return 1 << (bytes_moved - 1).bit_length()


def at_line(values: np.ndarray, late: int = 0) -> np.ndarray:
    """The same values and strides, in memory that begins `late` bytes after a cache line.

    0 as in torch and ONNX Runtime, 16 as in a large array of NumPy. Both are met in practice, and
    loads that reach into a second line cost twice as much.
    """
    order = np.argsort([-stride for stride in values.strides], kind="stable")
    memory = np.empty(values.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + late
    flat = memory[start : start + values.nbytes].view(values.dtype)
    dense = flat.reshape([values.shape[axis] for axis in order]).transpose(np.argsort(order))
    dense[...] = values
    return dense


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rough_flow(rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
    """[N, 2, H, W] float32: every pixel moves independently, by up to 8 px."""
    return rng.uniform(-8, 8, (batch, 2, height, width)).astype(np.float32)


def smooth_flow(rng: np.random.Generator, batch: int, *size: int) -> np.ndarray:
    """[N, 2, H, W] or [N, 3, D, H, W] float32: up to 4 px, which vary over about 16 px."""
    coarse = rng.uniform(-4, 4, (batch, len(size), *(max(side // 16, 2) for side in size)))
    fine = torch.nn.functional.interpolate(
        torch.from_numpy(coarse.astype(np.float32)),
        size=size,
        mode="bicubic" if len(size) == 2 else "trilinear",
    )
    return np.ascontiguousarray(fine.numpy())
