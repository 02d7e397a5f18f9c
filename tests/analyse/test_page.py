"""What a report says of its clip: text burned in, gaps in time, few grey levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cineflow.cine import read_cine
from cineflow.report import (
    Closure,
    Provenance,
    TraceRecorder,
    write_analysis_report,
    write_report,
)
from cineflow_client import LatencyLog

MADE = Provenance("model", "none", "onnxruntime", "", "in process", "cineflow")


@pytest.mark.parametrize(
    ("tags", "whole", "said"),
    [
        ({"BurnedInAnnotation": "YES"}, True, "says that identity is burned into its pixels"),
        ({"BurnedInAnnotation": "NO"}, False, "no identity is burned into its pixels"),
        ({}, False, "does not say whether identity is burned"),
    ],
)
def test_both_pages_state_what_the_file_says_of_text_in_its_pixels(
    tags: dict[str, str],
    whole: bool,
    said: str,
    write_dicom: Callable[..., Path],
    moving_frames: np.ndarray,
    tmp_path: Path,
) -> None:
    frames = moving_frames[:2, :64, :80]
    if not whole:
        frames = np.pad(frames, ((0, 0), (30, 0), (30, 30)))
    clip = read_cine(write_dicom(frames, **tags))
    assert clip.sector.all() == whole
    recorder, latency = TraceRecorder(clip), LatencyLog(frame_period_ms=clip.frame_period_ms)
    for _ in clip.frames:
        recorder.add(np.zeros((2, *clip.size), np.float32), 0.8, 0, 0)
        latency.add(1.0)
    trace, closure = recorder.finish(), Closure(None, None, "too short")
    pages = [
        write_analysis_report(tmp_path / "analysis.html", clip, trace, closure, MADE),
        write_report(
            tmp_path / "stream.html", clip, trace, latency.summary(), closure, MADE, fps=80.0
        ),
    ]
    for page in pages:
        table = page.read_text().split('class="made"')[1].split("</table>")[0]
        assert said in table
        assert ("nothing was blanked" in table) == whole
