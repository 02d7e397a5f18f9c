"""Colours: equal steps look equal, and colour-blind eyes can tell them apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from cineflow.report.palette import CLASS_COLOURS, ramp

#: Machado et al. 2009, severity 1, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
}  # fmt: skip


def lab(rgb: np.ndarray, eyes: str = "none") -> np.ndarray:
    """CIELAB under D65 of sRGB 0..255, as these eyes see it."""
    share = np.asarray(rgb, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ BLINDNESS[eyes].T, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


@pytest.mark.parametrize("eyes", BLINDNESS)
def test_the_ramp_grows_lighter_in_equal_steps(eyes: str) -> None:
    lightness = lab(ramp(np.linspace(0, 1, 9)), eyes)[:, 0]
    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert steps.max() < 2.2 * steps.min()
    assert lightness[0] > 40  # not lost on dark tissue


@pytest.mark.parametrize("eyes", BLINDNESS)
def test_neighbouring_classes_differ(eyes: str) -> None:
    colours = lab(np.array(CLASS_COLOURS[:6]), eyes)
    apart = [np.linalg.norm(a - b) for a, b in combinations(colours, 2)]
    assert min(apart) > 12
