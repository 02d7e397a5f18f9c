"""Input that `find_beat` refuses."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.closure import find_beat

FRAMES = np.random.default_rng(3).integers(0, 255, (30, 16, 16), np.uint8)
TIMES = np.arange(30) * 40.0
SECTOR = np.ones((16, 16), bool)


@pytest.mark.parametrize(
    ("frames", "times", "sector", "message"),
    [
        (FRAMES, TIMES[::-1], SECTOR, "strictly increasing"),
        (FRAMES, np.full(30, np.nan), SECTOR, "finite"),
        (FRAMES, TIMES[:7], SECTOR, "30 times, one per frame; got 7"),
        (FRAMES, TIMES, ~SECTOR, "empty mask"),
        (FRAMES, TIMES, SECTOR[:8], r"a mask of \[16, 16\]"),
        (FRAMES[0], TIMES, SECTOR, r"frames \[T >= 1, H, W\]"),
    ],
)
def test_invalid_input_is_refused(frames, times, sector, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        find_beat(frames, times, sector)


@pytest.mark.filterwarnings("error")
def test_one_frame_has_no_beat_and_no_warning() -> None:
    assert find_beat(FRAMES[:1], TIMES[:1], SECTOR) == (
        None,
        "no repeated beat in the clip's 0.0 s",
    )
