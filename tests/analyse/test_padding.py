"""Padding around a signed clip costs no accuracy, and a clip that it would spoil says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cineflow.cine import read_cine
from cineflow.cli.analyse.job import Model
from cineflow.motion.quality import assess
from cineflow.motion.quality_grey import grey_factor, lowered
from cineflow.phantom import Beat, ShortAxisPhantom
from cineflow.served import Quality

PAIR = slice(3, 5)  # the fastest pair
PADDING, WHITE = -32768, 2047


@pytest.fixture(scope="module")
def phantom() -> ShortAxisPhantom:
    return ShortAxisPhantom(3, size=(192, 192), beat=Beat(frame_rate_hz=25.0, beats=0.2))


def tracked(
    frames: np.ndarray, inside: np.ndarray, phantom: ShortAxisPhantom, model: Model
) -> tuple[float, Quality]:
    """Mean error in the wall, px, and the quality as it is shown."""
    before, after = frames[PAIR]
    inputs = {"previous": before, "current": after}
    flow = model.engine.run({k: v[None, None].astype(np.float32) for k, v in inputs.items()})
    flow = flow["flow"][0]
    error = np.hypot(*(flow - phantom.flow(PAIR.start, PAIR.start + 1)))
    quality = assess(before, after, flow)[0]
    shown = lowered(quality, grey_factor(frames, inside))
    return float(error[phantom.myocardium(PAIR.start)].mean()), shown


def test_a_padded_clip_is_tracked_as_well_as_the_clip_itself(
    phantom: ShortAxisPhantom, write_dicom: Callable[..., Path], model: Model
) -> None:
    plain, trusted = tracked(phantom.frames, phantom.sector, phantom, model)
    assert plain < 0.25
    deep = np.rint(phantom.frames * (WHITE / 255)).astype(np.int16)
    deep[:, ~phantom.sector] = PADDING
    for tags in ({"PixelPaddingValue": PADDING}, {}):
        clip = read_cine(write_dicom(deep, PixelRepresentation=1, **tags))
        padded, quality = tracked(clip.frames, clip.sector, phantom, model)
        assert padded == pytest.approx(plain, abs=0.02)
        assert quality.index == pytest.approx(trusted.index, abs=0.02)
    # With the padding as black, 17 levels are left: the error is five times as large, and the
    # quality knows.
    poor = np.rint((deep - float(PADDING)) * (255 / (WHITE - PADDING))).astype(np.uint8)
    poor[:, ~phantom.sector] = 0
    spoiled, doubted = tracked(poor, phantom.sector, phantom, model)
    assert spoiled > 4 * plain
    assert doubted.expected_error_px > 0.7 * spoiled
    assert doubted.index < 0.2 < trusted.index
