"""The picture for the README: it is small and animated, and the overlay lies on the tissue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cineflow.cine import Cine
from cineflow.report import Readings, Trace, TraceRecorder, write_overlay, write_picture
from cineflow.report.movie import movie
from cineflow.report.sizes import MOST_HEIGHT
from cineflow.report.unit import Unit


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_the_picture_moves_and_is_small(
    tmp_path: Path, clip: Cine, trace: Trace, suffix: str
) -> None:
    few = slice(0, 4)
    short = replace(clip, frames=clip.frames[few], times_ms=clip.times_ms[few])
    cut = replace(
        trace,
        points=trace.points[few],
        displacement=trace.displacement[few],
        quality=trace.quality[few],
    )
    path = write_picture(tmp_path / "new" / f"demo{suffix}", short, cut, panel_width=200)
    picture = Image.open(path)
    assert picture.n_frames == 4
    assert picture.size[0] == 400
    first = np.asarray(picture.convert("RGB")).astype(int)
    picture.seek(3)
    last = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(first - last).max() > 60
    # Both panels carry colour (the overlay) on grey tissue.
    for panel in (first[:, :200], first[:, 200:]):
        assert (np.ptp(panel[:-34], axis=-1) > 40).sum() > 50


@pytest.mark.parametrize(("height", "width"), [(480, 12), (480, 1), (6, 640)])
def test_narrow_and_wide_clips_keep_their_shape_within_a_limit(
    tmp_path: Path, height: int, width: int
) -> None:
    """The encoder was once given a picture 17 600 px high, after gigabytes."""
    frames = np.random.default_rng(0).integers(20, 200, (3, height, width), np.uint8)
    cine = Cine(frames, np.arange(3) * 40.0, None, "none", np.ones((height, width), bool))
    recorder = TraceRecorder(cine)
    for _ in range(3):
        recorder.add(np.zeros((2, height, width), np.float32), 1.0, 0, 0)
    trace = recorder.finish()
    picture = Image.open(write_picture(tmp_path / "narrow.webp", cine, trace))
    assert picture.size[0] <= 2 * 440
    assert picture.size[1] <= MOST_HEIGHT + 34
    assert min(picture.size) > 30  # the legend
    readings = Readings({}, (), {}, (), (), {})
    still = Image.open(write_overlay(tmp_path / "narrow.png", cine, readings))
    assert still.size[1] / still.size[0] == pytest.approx(height / width, rel=0.5)
    assert max(still.size) <= MOST_HEIGHT
    assert movie(cine, trace, Unit.of(cine))["shape"] == [width, height]


def test_pixels_that_are_not_square_are_drawn_in_their_shape(tmp_path: Path, clip: Cine) -> None:
    flat = replace(clip, spacing_mm=(1.0, 0.5), spacing_reason="PixelSpacing")
    readings = Readings({}, (), {}, (), (), {})
    square, tall = (
        Image.open(write_overlay(tmp_path / f"{k}.png", one, readings)).size
        for k, one in enumerate((clip, flat))
    )
    assert tall[1] / tall[0] == pytest.approx(2 * square[1] / square[0], rel=0.02)
