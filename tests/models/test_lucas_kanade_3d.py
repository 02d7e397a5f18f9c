"""The default tracker of volumes on known motion."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from cineflow.errors import ArgumentError
from cineflow.models.lucas_kanade_3d import LucasKanade3d
from cineflow.motion.metrics import end_point_error
from cineflow.phantom import Beat, ventricle

#: Three different extents, so that swapped axes show.
SIZE = (24, 32, 40)
#: Settings that fit together.
THREE_PASSES = {
    "sigma": (6.0, 8.0, 8.0),
    "refinements": (4, 2, 2),
    "ridge": (1.0, 1.0, 1.0),
    "levels": (0, 1, 2),
    "relaxation": (1.0, 1.0, 1.0),
}
#: Voxels at each face that are left out: what moves in or out there has no match.
EDGE = 8


@pytest.fixture(scope="module")
def tracker() -> LucasKanade3d:
    torch.set_num_threads(1)
    return LucasKanade3d().eval()


def track(tracker: LucasKanade3d, previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    pair = [torch.from_numpy(f.astype(np.float32))[None, None] for f in (previous, current)]
    with torch.no_grad():
        return tracker(*pair)[0].numpy()


def texture(
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0), size: tuple[int, int, int] = SIZE
) -> np.ndarray:
    """Band-limited noise, moved by `shift` (x, y, z) voxels through the Fourier shift theorem.

    It is cut out of a larger volume, whose faces have what wraps around.
    """
    whole = tuple(extent + 2 * EDGE for extent in size)
    fz, fy, fx = np.meshgrid(*map(np.fft.fftfreq, whole), indexing="ij")
    spectrum = np.fft.fftn(np.random.default_rng(5).standard_normal(whole))
    spectrum = spectrum * np.exp(-300 * (fx**2 + fy**2 + fz**2))
    phase = np.exp(-2j * np.pi * (fx * shift[0] + fy * shift[1] + fz * shift[2]))
    moved = np.fft.ifftn(spectrum * phase).real / np.fft.ifftn(spectrum).real.std()
    cut = (slice(EDGE, -EDGE),) * 3
    return (128.0 + 40.0 * moved[cut]).astype(np.float32)


def middle(field: np.ndarray) -> np.ndarray:
    return field[:, EDGE:-EDGE, EDGE:-EDGE, EDGE:-EDGE].reshape(len(field), -1)


@pytest.mark.parametrize("shift", [(0.4, -0.3, 0.2), (1.5, 1.0, -0.5), (0.0, -2.0, 1.0)])
def test_a_shift_is_found_along_its_own_axes(
    tracker: LucasKanade3d, shift: tuple[float, float, float]
) -> None:
    flow = track(tracker, texture(), texture(shift))
    assert flow.shape == (3, *SIZE)
    np.testing.assert_allclose(middle(flow).mean(axis=1), shift, atol=0.05)


def test_a_rotation_about_z(tracker: LucasKanade3d) -> None:
    """A smooth sum of waves can be evaluated anywhere, so the turned volume is exact."""
    rng = np.random.default_rng(3)
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SIZE), indexing="ij")
    waves, phases = rng.normal(0.0, 0.35, (40, 3)), rng.uniform(0, 2 * np.pi, 40)

    def volume(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        each = zip(waves, phases, strict=True)
        total = sum(np.cos(a * x + b * y + c * z + p) for (a, b, c), p in each)
        return np.asarray(128 + 40 * total / np.sqrt(20))

    angle = np.deg2rad(4.0)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = volume(cosine * x + sine * y, -sine * x + cosine * y, z)
    truth = np.stack([(cosine - 1) * x - sine * y, sine * x + (cosine - 1) * y, 0 * z])
    flow = track(tracker, volume(x, y, z), turned)
    error = np.linalg.norm(middle(flow) - middle(truth), axis=0)
    assert np.linalg.norm(middle(truth), axis=0).mean() > 0.5
    assert error.mean() < 0.1


@pytest.mark.parametrize("level", [0.0, 90.0, 255.0])
def test_no_texture_no_motion(tracker: LucasKanade3d, level: float) -> None:
    flat = np.full((16, 24, 16), level, np.float32)
    assert np.abs(track(tracker, flat, flat)).max() == 0.0
    assert np.abs(track(tracker, flat, np.full_like(flat, 128.0))).max() < 1e-3


def test_same_volume_no_motion(tracker: LucasKanade3d) -> None:
    assert np.abs(track(tracker, texture(), texture())).max() < 1e-4


def test_volumes_without_anything_in_common_stay_finite(tracker: LucasKanade3d) -> None:
    rng = np.random.default_rng(1)
    flow = track(tracker, *(rng.integers(0, 256, SIZE).astype(np.float32) for _ in range(2)))
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() < 32.0


def test_a_batch_is_volume_by_volume(tracker: LucasKanade3d) -> None:
    size = (16, 24, 32)
    volumes = [torch.from_numpy(texture((s, 0.0, 0.0), size))[None, None] for s in (0, 1, 2)]
    with torch.no_grad():
        both = tracker(torch.cat(volumes[:2]), torch.cat(volumes[1:]))
        second = tracker(*volumes[1:])
    torch.testing.assert_close(both[1:], second, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"sigma": (8.0, 6.0)},
        {"refinements": (1,)},
        {"ridge": (1.0, 0.0, 1.0)},
        {"levels": (1, 1, 2)},
        {"levels": (0, 0, 2)},
        {"levels": (0, 1, 0)},
        {"levels": (1, 2, 3)},
        {"sigma": (), "refinements": (), "ridge": (), "levels": ()},
    ],
    ids=str,
)
def test_passes_that_do_not_fit_together(settings: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="1 to 3 levels"):
        LucasKanade3d(**(THREE_PASSES | settings))


@pytest.mark.parametrize("relaxation", [(1.0, 1.0), (1.0, 1.0, 0.0)], ids=str)
def test_a_relaxation_for_each_pass(relaxation: tuple[float, ...]) -> None:
    with pytest.raises(ArgumentError, match="relaxation above zero"):
        LucasKanade3d(**(THREE_PASSES | {"relaxation": relaxation}))


def test_relaxation_is_a_factor_of_what_a_pass_finds() -> None:
    one_pass = {"sigma": (8.0,), "refinements": (2,), "ridge": (1.0,), "levels": (0,)}
    once, twice = (LucasKanade3d(**one_pass, relaxation=(factor,)).eval() for factor in (1.0, 2.0))
    pair = texture(), texture((0.4, -0.3, 0.2))
    np.testing.assert_allclose(track(twice, *pair), 2.0 * track(once, *pair), atol=1e-5)


def test_a_thick_wall_between_still_surroundings(tracker: LucasKanade3d) -> None:
    """A slab of 8 voxels is compressed: its faces approach each other, and what is around stays.
    The window of the wide passes is wider than the slab, so without the narrow pass both of its
    sides move alike."""
    z = np.arange(SIZE[0])[:, None, None] - (SIZE[0] - 1) / 2
    share = 0.15  # motion over distance from the middle
    moved = np.clip(z, -4.0, 4.0) * share  # true motion along z, at most 0.6 voxels
    still = texture()
    samples = np.clip(np.arange(SIZE[0])[:, None, None] - moved, 0, SIZE[0] - 1)
    below = samples.astype(int)
    above = np.minimum(below + 1, SIZE[0] - 1)
    part = samples - below
    y, x = np.mgrid[: SIZE[1], : SIZE[2]]
    current = (1 - part) * still[below, y, x] + part * still[above, y, x]
    flow = track(tracker, still, current.astype(np.float32))[2]
    inner = flow[:, EDGE:-EDGE, EDGE:-EDGE].mean(axis=(1, 2))
    found = np.polyfit(z[9:15, 0, 0], inner[9:15], 1)[0]
    assert found == pytest.approx(share, rel=0.35)


@pytest.mark.slow
def test_the_mr_phantom(tracker: LucasKanade3d) -> None:
    phantom = ventricle(901, contrast="mr", beat=Beat(frame_rate_hz=20.0, beats=0.25))
    found, floor = [], []
    for k, (a, b) in enumerate(pairwise(phantom.frames)):
        truth, wall = phantom.flow(k, k + 1), phantom.myocardium(k)
        found.append(end_point_error(track(tracker, a, b), truth, wall).mean_px)
        floor.append(end_point_error(np.zeros_like(truth), truth, wall).mean_px)
    print(f"{np.mean(found):.3f} voxels, zero flow {np.mean(floor):.3f}")
    assert np.mean(floor) > 0.6
    assert np.mean(found) <= 0.2
