"""The pictures of a phantom: they are deterministic and follow the true motion."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.ops import warp
from cineflow.phantom import Beat, ShortAxisPhantom, Tissue

SHORT = Beat(frame_rate_hz=10.0)
TWO = Beat(frame_rate_hz=10.0, beats=0.2)


def small(seed: int = 0, **changes: object) -> ShortAxisPhantom:
    arguments: dict[str, object] = {"size": (96, 96), "beat": SHORT, **changes}
    return ShortAxisPhantom(seed, **arguments)  # type: ignore[arg-type]


def test_same_seed_same_cine() -> None:
    first = small(3, beat=TWO).frames
    assert first.dtype == np.uint8
    assert first.shape == (2, 96, 96)
    np.testing.assert_array_equal(first, small(3, beat=TWO).frames)
    assert np.mean(first != small(4, beat=TWO).frames) > 0.3


def test_black_outside_the_sector_bright_in_the_wall() -> None:
    phantom = small(beat=TWO)
    assert not phantom.frames[:, ~phantom.sector].any()
    wall, blood = phantom.myocardium(0), phantom.tissue_map(0) == 2
    assert phantom.frames[0][wall].mean() > phantom.frames[0][blood].mean() + 60


def test_flow_composes_to_displacement() -> None:
    phantom = small()
    es = phantom.es
    u = phantom.flow(0, 1)[None]
    for frame in range(1, es):
        u = u + warp(phantom.flow(frame, frame + 1)[None], u)
    error = np.hypot(*(u[0] - phantom.displacement(es)))[phantom.myocardium(0)]
    assert error.mean() < 0.01


def test_true_flow_explains_the_picture() -> None:
    phantom = ShortAxisPhantom(0, beat=Beat(beats=0.16))
    a, b = phantom.frames[6].astype(np.float32), phantom.frames[7].astype(np.float32)
    wall = phantom.myocardium(6)
    moved = warp(b[None, None], phantom.flow(6, 7)[None])[0, 0]
    assert np.abs(moved - a)[wall].mean() < 0.7 * np.abs(b - a)[wall].mean()


def test_decorrelation_changes_the_speckle_in_place() -> None:
    beat = Beat(frame_rate_hz=10.0, beats=0.4)
    still = {"endo_ratio": 1.0, "longitudinal": 1.0, "rotation_deg": 0.0, "beat": beat}
    kept = small(translation_mm=(0.0, 0.0), **still).frames
    lost = small(translation_mm=(0.0, 0.0), tissue=Tissue(decorrelation=0.5), **still).frames
    wall = small().myocardium(0)

    def alike(cine: np.ndarray) -> float:
        return float(np.corrcoef(cine[0][wall], cine[3][wall])[0, 1])

    assert alike(kept) > 0.95 > 0.6 > alike(lost)


def test_track_follows_the_flow() -> None:
    phantom = small()
    point = phantom.kinematics.wall_point(90.0, 0.5)  # type: ignore[attr-defined]
    path = phantom.track(point[None])[:, 0]
    x, y = np.rint(path[0]).astype(int)
    np.testing.assert_allclose(path[3] - path[0], phantom.displacement(3)[:, y, x], atol=0.15)


def test_cine_without_systole_has_no_es() -> None:
    with pytest.raises(ArgumentError, match="end-systole"):
        _ = small(beat=Beat(beats=0.2, frame_rate_hz=50.0)).es
