"""Frame times: the tag that the pointer names, and each fallback with its note."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.cine import read_cine

VECTOR = [0.0, *range(10, 21)]


@pytest.mark.parametrize(
    ("tags", "steps", "note"),
    [
        ({}, 20.0, ""),
        ({"FrameIncrementPointer": 0x00181065, "FrameTimeVector": VECTOR}, VECTOR[1:], ""),
        ({"FrameIncrementPointer": None}, 20.0, "FrameTime was used"),
        (
            {"FrameIncrementPointer": 0x00181065, "FrameTimeVector": [0.0, 10.0]},
            20.0,
            "FrameTime was used",
        ),
        ({"FrameTime": 0, "FrameTimeVector": VECTOR}, VECTOR[1:], "FrameTimeVector was used"),
        ({"FrameTime": None, "CineRate": 50}, 20.0, "CineRate (50 Hz)"),
        ({"FrameTime": None, "RecommendedDisplayFrameRate": 25}, 40.0, "display rate"),
        ({"FrameTime": None}, 1000 / 30, "30 Hz was assumed"),
        ({"FrameTime": -5.0}, 1000 / 30, "30 Hz was assumed"),
        ({"FrameTime": 0.001}, 1000 / 30, "no frame time of 1 to 1000 ms"),
        ({"FrameTime": 1e6}, 1000 / 30, "no frame time of 1 to 1000 ms"),
        ({"FrameTime": 1e6, "FrameTimeVector": VECTOR}, VECTOR[1:], "FrameTimeVector was used"),
        (
            {"FrameTime": None, "FrameTimeVector": [0.0, 1e6] + 10 * [20.0]},
            [1e6] + 10 * [20.0],
            "1 gap in time",
        ),
        (
            {"FrameTime": None, "FrameTimeVector": [0, 5, 0, 5, -5] + 4 * [20] + [1e300, 20, 300]},
            [5, 20, 5, 20, 20, 20, 20, 20, 20, 20, 300],
            "no clip has, before frames 2, 4, 9; the usual 20 ms",
        ),
        (
            {"FrameTime": None, "FrameTimeVector": [0, 20, 1e-300] + 9 * [20]},
            11 * [20],
            "intervals that no clip has, before frames 2",
        ),
        ({"FrameTime": None, "FrameTimeVector": 5 * [20] + 7 * [0]}, 1000 / 30, "that no clip has"),
        ({"FrameTime": None, "FrameTimeVector": 5 * [20]}, 1000 / 30, "5 entries, for 12 frames"),
        ({"FrameTime": None, "FrameTimeVector": 12 * [1e6]}, 1000 / 30, "assumed"),
        (
            {"FrameIncrementPointer": 0x00181065, "FrameTimeVector": [0, 0.4] + 10 * [20.0]},
            [0.4] + 10 * [20.0],
            "",
        ),
        ({"FrameTime": None, "CineRate": 100000}, 1000 / 30, "30 Hz was assumed"),
    ],
)
def test_frame_times(drawn, write_dicom, tags, steps, note: str) -> None:
    clip = read_cine(write_dicom(drawn[0], **tags))
    assert clip.times_ms[0] == 0
    np.testing.assert_allclose(np.diff(clip.times_ms), steps)
    assert note in " ".join(clip.notes)
    assert bool(clip.notes) == bool(note)
