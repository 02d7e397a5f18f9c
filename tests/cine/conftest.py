"""Clips made for the tests: a speckled, moving sector with text burned in around it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """A clip uint8 [12, 120, 160] of a speckled wedge with text around it, and the true wedge."""
    height, width = 120, 160
    wedge = np.zeros((height, width), np.uint8)
    cv2.ellipse(wedge, (80, 12), (96, 96), 0, 45, 135, 1, thickness=-1)
    rng = np.random.default_rng(7)
    frames = np.zeros((12, height, width), np.uint8)
    for index, frame in enumerate(frames):
        speckle = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (5, 5), 0)
        speckle = np.clip(90 + 160 * speckle, 1, 255)
        frame[wedge == 1] = speckle[wedge == 1]
        cv2.putText(frame, "DOE JOHN", (2, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 255)
        cv2.putText(
            frame, f"{index:02d}", (140, 116), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 255
        )  # a clock
    return frames, wedge.astype(bool)


@pytest.fixture
def region() -> Callable[..., Dataset]:
    """One item of SequenceOfUltrasoundRegions: (x0, y0, x1, y1), cm per pixel, type and unit."""

    def make(
        corners: tuple[int, int, int, int],
        cm: tuple[float, float] = (0.05, 0.04),
        kind: int = 1,
        unit: int = 3,
    ) -> Dataset:
        item = Dataset()
        item.RegionSpatialFormat = 1
        item.RegionDataType = kind
        item.RegionFlags = 0
        item.RegionLocationMinX0, item.RegionLocationMinY0 = corners[:2]
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = corners[2:]
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = unit
        item.PhysicalDeltaY, item.PhysicalDeltaX = cm
        return item

    return make


@pytest.fixture
def sequence() -> type[Sequence]:
    """pydicom's Sequence, so that the tests need not import it."""
    return Sequence
