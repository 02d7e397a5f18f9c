"""A clip with a known, perfectly tracked motion, and the report of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cineflow.cine import Cine, default_clip
from cineflow.report import Closure, Provenance, Trace, TraceRecorder, write_report
from cineflow_client import LatencySummary


@pytest.fixture(scope="session")
def clip() -> Cine:
    """A real clip, because points are chosen on its texture."""
    return default_clip()


@pytest.fixture(scope="session")
def trace(clip: Cine) -> Trace:
    """A synthetic motion of the whole picture: 6 px to the right and back."""
    recorder = TraceRecorder(clip)
    for index in range(len(clip)):
        displacement = np.zeros((2, *clip.size), np.float32)
        displacement[0] = 6 * np.sin(np.pi * index / (len(clip) - 1))
        recorder.add(displacement, 1.0 if index == 0 else 0.8, 0, 0)
    return recorder.finish()


@pytest.fixture
def latency(clip: Cine) -> LatencySummary:
    each = np.full(len(clip), 10.0)
    each[7] = 50.0
    return LatencySummary(
        frames=len(clip),
        p50_ms=10.25,  # not what NumPy would compute from `each`
        p95_ms=10.5,
        p99_ms=38.75,
        max_ms=50.5,
        missed_deadlines=1,
        frame_period_ms=clip.frame_period_ms,
        each_ms=each,
    )


@pytest.fixture
def closure() -> Closure:
    return Closure(None, None, "no repeated beat in the clip's 1.0 s")


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
        "lucas_kanade-0123abcd", "none: training-free", "onnxruntime", "triton 2.51.0", "shm", "0.1"
    )


@pytest.fixture
def write(
    tmp_path: Path,
    clip: Cine,
    trace: Trace,
    latency: LatencySummary,
    closure: Closure,
    provenance: Provenance,
) -> Callable[..., str]:
    """Write the report and return the page. Arguments replace those of `write_report`."""

    def write(**changes: object) -> str:
        arguments = {
            "path": tmp_path / "new" / "report.html",
            "cine": clip,
            "trace": trace,
            "latency": latency,
            "closure": closure,
            "provenance": provenance,
            "fps": 80.0,
            "warm_up_frames": 4,
        }
        return write_report(**(arguments | changes)).read_text()

    return write
