"""The Cine type refuses invalid clips."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.cine import Cine
from cineflow.errors import ArgumentError

FRAMES = np.zeros((4, 8, 9), np.uint8)
SECTOR = np.ones((8, 9), bool)


@pytest.mark.parametrize(
    ("frames", "times", "sector", "wanted"),
    [
        (FRAMES[:1], np.zeros(1), SECTOR, "T >= 2"),
        (FRAMES.astype(np.float32), np.arange(4.0), SECTOR, "uint8"),
        (FRAMES, np.arange(3.0), SECTOR, "4 strictly increasing"),
        (FRAMES, np.array([0.0, 1, 1, 2]), SECTOR, "strictly increasing"),
        (FRAMES, np.arange(4.0), SECTOR[:-1], "sector"),
    ],
)
def test_an_invalid_clip_is_refused(frames, times, sector, wanted: str) -> None:
    with pytest.raises(ArgumentError, match=wanted):
        Cine(frames, times, None, "", sector)


def test_a_clip_is_named_by_its_pixels() -> None:
    first = Cine(FRAMES, np.arange(4.0), None, "", SECTOR)
    again = Cine(FRAMES, np.arange(4.0) * 2, None, "", SECTOR)
    other = Cine(FRAMES + 1, np.arange(4.0), None, "", SECTOR)
    assert first.name == again.name != other.name
    assert first.size == (8, 9)
    assert again.frame_period_ms == 2.0
