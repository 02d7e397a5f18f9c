"""The picture for the README: it is small and animated, and the overlay lies on the tissue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cineflow.cine import Cine
from cineflow.report import Trace, write_picture


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
