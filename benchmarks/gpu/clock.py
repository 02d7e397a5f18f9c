"""Times on the GPU, and the bandwidth of its memory and of its L2 cache.

A call is replayed as a CUDA graph of many calls, so that launch latency does not count in the time
of a small op. CuPy's functions allocate memory and are timed call by call. Caches are hot.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import cache
from typing import Any

import cupy
import torch

CALLS = 200  # in one graph
LONGEST_MS = 10.0  # of one graph: a graph of a slow call has fewer of them
REPEATS = 30


def milliseconds(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median time of one `run`, by CUDA events on torch's current stream."""
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def graphed(run: Callable[[], Any]) -> float:
    """Microseconds of one `run`, in a replayed graph of CALLS runs or LONGEST_MS."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        run()
        once = milliseconds(run, repeats=3)
    torch.cuda.synchronize()
    calls = max(1, min(CALLS, int(LONGEST_MS / once)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            run()
    graph.replay()
    return milliseconds(graph.replay) * 1e3 / calls


def eager(run: Callable[[], Any]) -> float:
    """Microseconds of one `run`, in a series of runs on torch's current stream."""
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)
    calls = 20

    def many() -> None:
        with stream:
            for _ in range(calls):
                run()

    many()
    return milliseconds(many) * 1e3 / calls


def cache_bytes() -> int:
    """Size of the L2 cache."""
    return int(torch.cuda.get_device_properties(0).L2_cache_size)


@cache
def copy_bandwidth(in_cache: bool) -> float:
    """GB/s, read and written, of a copy: half as large as the L2 cache, or far larger."""
    count = cache_bytes() // 4 if in_cache else 1 << 30
    source = torch.empty(count, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * count / graphed(lambda: target.copy_(source)) / 1e3


def floor_us(count: int) -> float:
    """The time to move `count` bytes: through the L2 cache where they fit into it."""
    return count / copy_bandwidth(count <= cache_bytes()) / 1e3
