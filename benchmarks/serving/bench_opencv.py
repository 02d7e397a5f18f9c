"""OpenCV's dense trackers on the same frames, as the peers of bench_stream.py.

Flow only: no composition and no quality, which our figures include. Settings are those of the
measurements behind the default model: the methods' usual ones, barely tuned.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from benchmarks.serving.conftest import Measure

pytestmark = pytest.mark.benchmark(group="latency per frame, 256x256")

_GRID_PX = 4

#: The flow, float32 [2, H, W], from the previous frame to the current one, uint8 [H, W] both.
Tracker = Callable[[np.ndarray, np.ndarray], np.ndarray]


def farneback(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    flow = cv2.calcOpticalFlowFarneback(previous, current, None, 0.5, 4, 25, 3, 7, 1.5, 0)
    return flow.transpose(2, 0, 1)


def dis(preset: int) -> Tracker:
    tracker = cv2.DISOpticalFlow_create(preset)
    return lambda previous, current: tracker.calc(previous, current, None).transpose(2, 0, 1)


def pyramidal_lk(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Sparse by design: points every 4 px, interpolated; on every pixel it takes 0.5 s a frame."""
    height, width = previous.shape
    y, x = np.mgrid[0:height:_GRID_PX, 0:width:_GRID_PX].astype(np.float32)
    points = np.stack([x.ravel(), y.ravel()], axis=1)[:, None]
    moved, _, _ = cv2.calcOpticalFlowPyrLK(
        previous, current, points, None, winSize=(25, 25), maxLevel=3
    )
    coarse = (moved - points).reshape(*x.shape, 2)
    # Pixel p of the full grid lies at p / 4 of the coarse one: pixel centres are integers.
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / _GRID_PX
    fine = cv2.remap(coarse, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return fine.transpose(2, 0, 1)


TRACKERS: dict[str, Tracker] = {
    "DIS fast": dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "DIS medium": dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "Farneback": farneback,
    "PyrLK every 4 px": pyramidal_lk,
}


@pytest.mark.parametrize("name", TRACKERS)
def bench_opencv(measure: Measure, name: str) -> None:
    last: np.ndarray | None = None

    def step(frame: np.ndarray) -> np.ndarray | None:
        nonlocal last
        previous, last = last, frame
        return None if previous is None else TRACKERS[name](previous, frame)

    measure(step)
