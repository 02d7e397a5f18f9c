"""OpenCV's dense trackers on the same frames, as the peers of bench_stream.py.

They are the trackers of the accuracy table, with the settings that its search found. They only
compute flow; our figures include composition and quality.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.methods import peers
from benchmarks.serving.conftest import Measure

pytestmark = pytest.mark.benchmark(group="latency per frame, 256x256")

TRACKERS = {name: track for name, track in peers().items() if name != "zero flow"}


@pytest.mark.parametrize("name", TRACKERS)
def bench_opencv(measure: Measure, name: str) -> None:
    last: np.ndarray | None = None

    def step(frame: np.ndarray) -> np.ndarray | None:
        nonlocal last
        previous, last = last, frame
        return None if previous is None else TRACKERS[name](previous, frame)

    measure(step)
