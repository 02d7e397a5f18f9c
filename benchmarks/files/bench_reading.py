"""Reading a clip, compared with pydicom and Pillow decoding the same frames.

The peer only decodes. Ours also finds the scan sector, blanks what lies outside, and looks for
colour. Both are run in turn, so that a busy machine slows both alike; the shortest times count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.pixels.utils import iter_pixels
from pytest_benchmark.fixture import BenchmarkFixture

from cineflow.cine import read_cine

pytestmark = pytest.mark.benchmark(group="reading 120 frames of 480x640, JPEG")

ROUNDS = 9
MOST = 1.2  # times the peer's


def bench_reading(benchmark: BenchmarkFixture) -> None:
    store = pytest.importorskip("data_store", reason="pydicom-data, one of the peers")
    path = Path(store.__file__).parent / "data" / "color3d_jpeg_baseline.dcm"

    def peer() -> None:
        for _ in iter_pixels(pydicom.dcmread(path), raw=True):
            pass

    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(_seconds(peer))
        ours.append(_seconds(lambda: read_cine(path)))
    benchmark.pedantic(read_cine, (path,), rounds=1)
    ratio = min(ours) / min(theirs)
    benchmark.extra_info |= {
        "read_s": min(ours),
        "pydicom_and_pillow_s": min(theirs),
        "ratio": ratio,
    }
    print(f"\nread {min(ours):.3f} s, pydicom and Pillow {min(theirs):.3f} s: {ratio:.2f} times")
    assert ratio <= MOST


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
