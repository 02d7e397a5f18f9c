"""The Python side of the comparison; client/cpp/tests/pace.cpp says what it prints."""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from cineflow_client import Client


def cpu_seconds() -> float:
    """CPU time of this process, s."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def waits() -> int:
    """Switches of context, because a thread waited."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def resident_kb() -> int:
    """Resident memory of this process, kB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def main(url: str, model: str, height: str, width: str, transport: str) -> None:
    """Send as many frames as each line of the standard input says."""
    count = int(height) * int(width)
    places = np.arange(count, dtype=np.uint64)
    clip = [
        ((places * 2654435761 % 2**32 >> 13) + 31 * t).astype(np.uint8).reshape(int(height), -1)
        for t in range(8)
    ]
    sent = 0
    with (
        Client(url) as client,
        client.stream(model, "shm" if transport == "shm" else "grpc") as stream,
    ):
        for line in sys.stdin:
            each = []
            before = cpu_seconds()
            waits_before = waits()
            for _ in range(int(line)):
                start = time.perf_counter()
                stream.push(clip[sent % len(clip)])
                each.append(1e6 * (time.perf_counter() - start))
                sent += 1
            spent = cpu_seconds() - before
            waited = waits() - waits_before
            print(
                f"{spent:.6f} {resident_kb()} {waited}", *(f"{one:.1f}" for one in each), flush=True
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
