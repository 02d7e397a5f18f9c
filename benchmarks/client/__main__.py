"""Round trips and CPU of the C++ and the Python client, in turn, against one server.

    python -m benchmarks.client [--rounds N] [--frames N] [--growth FRAMES]

The models are one that returns an 800 x 600 frame as float16, and the default tracker at
256 x 256. Each client is a process of its own with one stream. They take turns, so that both see
the same machine. `--growth` does another thing: it sends that many frames of 64 x 64 through each
client, and prints how its resident memory grew after the first twentieth of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.client.identity import recipe
from benchmarks.repeat import repeat_line
from cineflow.export import export_bundle, write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer, install_server

BUILT = Path(__file__).resolve().parents[2] / "build" / "client_cpp"
LIMIT_BYTES = 1_000_000
CLIENTS = {
    "C++": [str(BUILT / "tests" / "pace")],
    "Python": [sys.executable, "-m", "benchmarks.client.pace"],
}


class Pace:
    """A client in a process of its own."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.each_us: list[float] = []
        self.cpu_s: list[float] = []  # per frame, of each round
        self.waits: list[float] = []  # switches of context per frame, of each round
        self.resident_kb: list[int] = []

    def round(self, frames: int, *, keep: bool = True) -> None:
        """Send that many frames."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(frames, file=self.process.stdin, flush=True)
        cpu, resident, waits, *each = self.process.stdout.readline().split()
        if keep:
            self.each_us += map(float, each)
            self.cpu_s.append(float(cpu) / frames)
            self.waits.append(int(waits) / frames)
        self.resident_kb.append(int(resident))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def compare(
    url: str, model: str, size: tuple[int, int], transport: str, options: argparse.Namespace
) -> None:
    """Print one line per client, and the ratios."""
    height, width = map(str, size)
    paces = {
        name: Pace([*command, url, model, height, width, transport])
        for name, command in CLIENTS.items()
    }
    try:
        for number in range(options.rounds + 1):
            for pace in paces.values():
                pace.round(options.frames, keep=number > 0)
        print(f"{model}, {height} x {width}, {transport}")
        rows = {}
        for name, pace in paces.items():
            p50, p99 = np.percentile(pace.each_us, [50, 99])
            row = rows[name] = (p50, p99, 1e6 * min(pace.cpu_s), 1e6 * float(np.median(pace.cpu_s)))
            print(
                f"  {name:<8} p50 {row[0]:8.0f} us   p99 {row[1]:8.0f} us   "
                f"CPU per frame {row[2]:6.0f} us at best, {row[3]:6.0f} us median   "
                f"{np.median(pace.waits):.1f} waits"
            )
        ratios = [there / here for there, here in zip(rows["C++"], rows["Python"], strict=True)]
        print("  ratio    p50 {:8.2f}      p99 {:8.2f}      CPU {:.2f}, {:.2f}".format(*ratios))
    finally:
        for pace in paces.values():
            pace.close()


def growth(url: str, frames: int) -> None:
    """Print how the resident memory of each client grew over that many frames."""
    rounds = max(2, frames // 1000)
    warm_up = max(1, rounds // 20)
    for name, command in CLIENTS.items():
        pace = Pace([*command, url, "lucas_kanade", "64", "64", "shm"])
        try:
            for _ in track(range(rounds), f"{name}, {frames} frames"):
                pace.round(frames // rounds, keep=False)
        finally:
            pace.close()
        before, after = pace.resident_kb[warm_up - 1], pace.resident_kb[-1]
        print(
            f"  {name:<8} {frames} frames: {before} kB after {warm_up} rounds, {after} kB in the "
            f"end, {100 * (after - before) / before:+.2f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--frames", type=int, default=300, help="in a round")
    parser.add_argument("--growth", type=int, default=0, metavar="FRAMES")
    options = parser.parse_args()
    library = (BUILT / "libcineflow_client.so").stat().st_size
    print(f"libcineflow_client.so: {library / 1e6:.2f} MB (limit {LIMIT_BYTES / 1e6:.0f} MB)")
    with tempfile.TemporaryDirectory() as folder:
        returned = export_bundle(recipe(), Path(folder) / "bundle")
        models = write_repository([returned, Bundle.load("lucas_kanade")], Path(folder) / "models")
        with TritonServer(models, binary=install_server()) as server:
            if options.growth:
                growth(server.url, options.growth)
            else:
                for transport in ("shm", "grpc"):
                    compare(server.url, returned.spec.name, (600, 800), transport, options)
                compare(server.url, "lucas_kanade", (256, 256), "shm", options)
    print(repeat_line())


if __name__ == "__main__":
    main()
