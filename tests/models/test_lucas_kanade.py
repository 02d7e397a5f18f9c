"""The default tracker on known motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cineflow.errors import ArgumentError
from cineflow.models.lucas_kanade import LucasKanade
from cineflow.motion.metrics import end_point_error
from cineflow.phantom import Beat, ShortAxisPhantom

# Not used for tuning.
HELD_OUT = (9001, 9002)


@pytest.fixture(scope="module")
def tracker() -> LucasKanade:
    torch.set_num_threads(1)
    return LucasKanade().eval()


def track(tracker: LucasKanade, previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    frames = [torch.from_numpy(f.astype(np.float32))[None, None] for f in (previous, current)]
    with torch.no_grad():
        return tracker(*frames)[0].numpy()


def speckle(size: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Band-limited noise, moved by `shift` (x, y) px through the Fourier shift theorem."""
    fy, fx = np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None]
    spectrum = np.fft.fft2(np.random.default_rng(5).standard_normal(size))
    spectrum = spectrum * np.exp(-60 * (fx**2 + fy**2))
    moved = np.fft.ifft2(spectrum * np.exp(-2j * np.pi * (fx * shift[0] + fy * shift[1]))).real
    return (128.0 + 40.0 * moved / np.fft.ifft2(spectrum).real.std()).astype(np.float32)


@pytest.mark.parametrize("shift", [(0.4, -0.3), (2.5, 1.0), (-6.0, 5.0)])
def test_translation(tracker: LucasKanade, shift: tuple[float, float]) -> None:
    flow = track(tracker, speckle((128, 160)), speckle((128, 160), shift))
    middle = flow[:, 24:-24, 24:-24]
    error = np.hypot(middle[0] - shift[0], middle[1] - shift[1])
    assert error.mean() < 0.05 * np.hypot(*shift)


@pytest.mark.parametrize("seed", [HELD_OUT[0], pytest.param(HELD_OUT[1], marks=pytest.mark.slow)])
def test_phantom_frame_to_frame(tracker: LucasKanade, seed: int) -> None:
    phantom = ShortAxisPhantom(seed, beat=Beat(beats=0.4))
    pairs = range(3, phantom.es, 3)
    found, floor = [], []
    for i in pairs:
        truth, wall = phantom.flow(i, i + 1), phantom.myocardium(i)
        flow = track(tracker, phantom.frames[i], phantom.frames[i + 1])
        found.append(end_point_error(flow, truth, wall).mean_px)
        floor.append(end_point_error(np.zeros_like(truth), truth, wall).mean_px)
    print(f"seed {seed}: {np.mean(found):.3f} px, zero flow {np.mean(floor):.3f} px")
    assert np.mean(floor) > 0.6
    assert np.mean(found) <= 0.125


@pytest.mark.parametrize("level", [0.0, 90.0, 255.0])
def test_no_texture_no_motion(tracker: LucasKanade, level: float) -> None:
    flat = np.full((64, 80), level, np.float32)
    assert np.abs(track(tracker, flat, flat)).max() == 0.0
    assert np.abs(track(tracker, flat, np.full_like(flat, 128.0))).max() < 1e-3


def test_same_frame_no_motion(tracker: LucasKanade) -> None:
    assert np.abs(track(tracker, speckle((64, 64)), speckle((64, 64)))).max() < 1e-4


def test_a_still_sector_border_does_not_hold_the_tissue_back(tracker: LucasKanade) -> None:
    sector = np.zeros((128, 128), bool)
    sector[32:96, 32:96] = True
    a, b = speckle((128, 128)) * sector, speckle((128, 128), (2.0, 0.0)) * sector
    flow = track(tracker, a, b)
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() < 6.0
    near_border = flow[0, 44:84, 36:40]
    assert near_border.mean() == pytest.approx(2.0, abs=0.3)


def test_frames_without_anything_in_common_stay_finite(tracker: LucasKanade) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, (96, 64)).astype(np.float32) for _ in range(2))
    flow = track(tracker, a, b)
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() < 32.0


def test_batch_is_frame_by_frame(tracker: LucasKanade) -> None:
    frames = [torch.from_numpy(speckle((64, 64), (s, 0.0)))[None, None] for s in (0.0, 1.0, 3.0)]
    with torch.no_grad():
        both = tracker(torch.cat(frames[:2]), torch.cat(frames[1:]))
        second = tracker(frames[1], frames[2])
    torch.testing.assert_close(both[1:], second, atol=1e-4, rtol=0)


def test_levels_and_iterations_must_agree() -> None:
    with pytest.raises(ArgumentError, match="levels"):
        LucasKanade(sigma=(8.0, 8.0), refinements=(1,))
