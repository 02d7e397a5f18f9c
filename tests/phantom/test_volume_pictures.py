"""Pictures of volumes and of MR-like contrast: deterministic, quick, and in step with the truth."""

from __future__ import annotations

import resource
import time
from dataclasses import replace

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.phantom import (
    Beat,
    MagneticScanner,
    SectorScanner,
    Shadow,
    ShortAxisPhantom,
    Tissue,
    ventricle,
)
from cineflow.phantom.speckle import film

TWO = Beat(frame_rate_hz=10.0, beats=0.2)
SIZE = (32, 40, 36)
SPARSE = Tissue(density_per_mm3=0.03)  # a tenth of the scatterers, for speed


def sample(volume: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Trilinear interpolation of [D, H, W] at [N, 3] (x, y, z), one corner at a time."""
    low = np.floor(where).astype(int)
    total = np.zeros(len(where))
    for dz, dy, dx in np.ndindex(2, 2, 2):
        corner = low + np.array([dx, dy, dz])
        x, y, z = np.clip(corner, 0, np.array(volume.shape[::-1]) - 1).T
        weight = np.prod(1.0 - np.abs(where - corner), axis=1)
        total += weight * volume[z, y, x]
    return total


@pytest.mark.parametrize("contrast", ["ultrasound", "mr"])
def test_same_seed_same_volumes(contrast: str) -> None:
    tissue = SPARSE if contrast == "ultrasound" else None

    def volumes(seed: int) -> np.ndarray:
        return ventricle(seed, size=SIZE, beat=TWO, contrast=contrast, tissue=tissue).frames  # type: ignore[arg-type]

    first = volumes(3)
    assert first.dtype == np.uint8
    assert first.shape == (2, *SIZE)
    np.testing.assert_array_equal(first, volumes(3))
    assert np.mean(first != volumes(4)) > 0.3


def test_pyramid_is_black_outside_and_the_wall_is_bright() -> None:
    phantom = ventricle(0, size=SIZE, beat=TWO)
    frame, wall, blood = phantom.frames[0], phantom.myocardium(0), phantom.cavity(0)
    assert 0.3 < phantom.sector.mean() < 0.9
    assert not frame[~phantom.sector].any()
    assert frame[wall].mean() > frame[blood].mean() + 50
    corners = phantom.sector[::31, :5, ::35]  # the pyramid is narrow near the probe
    assert not corners.any()


@pytest.mark.parametrize("contrast", ["ultrasound", "mr"])
def test_true_flow_explains_the_volumes(contrast: str) -> None:
    """The true flow explains them better than any multiple of it.

    The margins are small because wide beams decorrelate.
    """
    beat = Beat(frame_rate_hz=10.0, beats=0.4)
    phantom = ventricle(0, size=(48, 48, 48), beat=beat, contrast=contrast)  # type: ignore[arg-type]
    a, b = phantom.frames[1].astype(float), phantom.frames[3].astype(float)
    wall = phantom.myocardium(1)
    z, y, x = np.nonzero(wall)
    here = np.stack([x, y, z], axis=1)
    flow = phantom.flow(1, 3)[:, z, y, x].T
    assert np.linalg.norm(flow, axis=1).mean() > 3.0
    left = {k: np.abs(sample(b, here + k * flow) - a[wall]).mean() for k in (-1, 0, 0.5, 1, 1.5)}
    assert left[1] < 0.97 * min(left[0.5], left[1.5])
    assert left[1] < 0.85 * left[0] < left[-1]


def test_flow_on_the_grid_is_the_map_in_voxels_of_each_axis() -> None:
    phantom = ventricle(0, size=SIZE, beat=Beat(frame_rate_hz=5.0))
    scanner = SectorScanner(size=SIZE, opening_deg=80.0, spacing_mm=(3.0, 2.6, 2.0))
    uneven = type(phantom)(phantom.kinematics, scanner, phantom.beat)
    point = np.array([20, 25, 12])  # (x, y, z)
    mm = point * [2.0, 2.6, 3.0]
    heart = uneven.kinematics
    moved = heart.position(heart.material(mm, 0.0), uneven.beat.activation(2))
    np.testing.assert_allclose(
        uneven.flow(0, 2)[:, 12, 25, 20], (moved - mm) / [2.0, 2.6, 3.0], atol=1e-5
    )


def test_shadow_and_clutter_act_in_volumes() -> None:
    def frame(tissue: Tissue = SPARSE, **scanner: object) -> np.ndarray:
        made = ventricle(2, size=SIZE, beat=TWO, tissue=tissue, scanner=scanner)
        return made.frames[0].astype(float)

    clear = frame()
    dark = clear - frame(shadows=(Shadow(0.0, 16.0, 20.0),))
    assert dark[:, 30:36, 17:19].mean() > 40
    assert abs(dark[:, 30:36, 4:10].mean()) < 12
    blood = ventricle(2, size=SIZE, beat=TWO).cavity(0)
    blood[:, 20:] = False
    assert (frame(replace(SPARSE, clutter=1.5)) - clear)[blood].mean() > 30


@pytest.mark.slow
def test_a_volume_cine_is_quick_and_bounded() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    assert ventricle(0, beat=Beat(frame_rate_hz=4.0)).frames.shape == (4, 64, 64, 64)
    assert time.process_time() - started < 20.0  # about 2 s on one quiet core
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 800_000  # kB; about 300 MB


def test_mr_blood_is_bright_the_wall_grey_and_smooth() -> None:
    phantom = ShortAxisPhantom(1, size=(96, 96), beat=TWO, contrast="mr")
    frame = phantom.frames[0].astype(float)
    inner = phantom.myocardium(0)
    inner &= np.roll(inner, 3, 0) & np.roll(inner, -3, 0) & np.roll(inner, 3, 1)
    inner &= np.roll(inner, -3, 1)
    blood, wall = frame[phantom.cavity(0)], frame[inner]
    assert blood.mean() > 2.0 * wall.mean()
    assert wall.std() < 0.1 * wall.mean()
    # signals 1 and 0.4, white at 1.15
    assert blood.mean() == pytest.approx(255.0 / 1.15, rel=0.04)
    assert wall.mean() == pytest.approx(0.4 * 255.0 / 1.15, rel=0.04)
    assert phantom.sector.all()


def test_rician_noise_has_rician_moments() -> None:
    # With a signal far below the noise, the noise is Rayleigh, and its mean is sqrt(pi / 2) sigma.
    faint = {"blood": 1.0, "myocardium": 0.05, "outside": 1e-3, "shading": 0.0}
    sigma = 0.05 * 10.0 ** (6.0 / 20.0)
    phantom = ShortAxisPhantom(
        0, size=(128, 128), beat=TWO, contrast="mr", scanner={**faint, "noise_db": -6.0}
    )
    corner = phantom.frames[:, :20, :].astype(float) * (1.15 / 255.0)
    assert corner.mean() == pytest.approx(np.sqrt(np.pi / 2) * sigma, rel=0.02)
    assert corner.std() == pytest.approx(np.sqrt(2 - np.pi / 2) * sigma, rel=0.03)


def test_partial_volume_makes_the_border_a_share() -> None:
    shape = {"size": (64, 64), "beat": TWO, "contrast": "mr"}
    sharp = {"noise_db": None, "shading": 0.0, "resolution_mm": 0.01}
    frame = ShortAxisPhantom(0, scanner={**sharp, "subsamples": 8}, **shape).frames[0].astype(float)  # type: ignore[arg-type]
    heart = ShortAxisPhantom(0, **shape).kinematics  # type: ignore[arg-type]
    wall, blood = frame.min(), frame.max()
    outside = float(np.median(frame))
    # The sum over the pixels is the ring's area, to a fraction of a pixel.
    missing = (outside - frame[frame < outside]).sum() / (outside - wall)
    assert blood > outside > wall
    brighter = ((frame - wall) / (blood - wall))[12:60, 8:56]
    area = np.pi * heart.endo_mm**2 / 1.8**2
    assert missing > 0
    inside = frame > outside
    assert (brighter[inside[12:60, 8:56]]).sum() == pytest.approx(area, rel=0.06)


def test_ultrasound_settings_are_refused_for_mr() -> None:
    with pytest.raises(ArgumentError, match="MR scanner"):
        ShortAxisPhantom(0, contrast="mr", tissue=Tissue(clutter=1.0))
    with pytest.raises(ArgumentError, match="contrast"):
        ShortAxisPhantom(0, contrast="ct")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"size": (64,)},
        {"size": (8, 64)},
        {"size": (32, 32, 32)},  # with two spacings
        {"spacing_mm": (0.5, 0.0)},
        {"opening_deg": 200.0},
        {"axial_sigma_mm": 0.0},
    ],
)
def test_invalid_scanners_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        SectorScanner(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [{"size": (4, 64)}, {"spacing_mm": (1.0,)}, {"blood": 0.0}, {"subsamples": 0}],
)
def test_invalid_mr_scanners_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        MagneticScanner(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings", [{"decorrelation": 1.5}, {"density_per_mm3": 0.0}, {"clutter": -1.0}]
)
def test_invalid_tissue_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ArgumentError):
        Tissue(**settings)


def test_a_heart_outside_the_sector_is_refused() -> None:
    phantom = ShortAxisPhantom(0, size=(32, 32), beat=TWO, centre_mm=(4000.0, 60.0))
    scanner = phantom.scanner
    assert isinstance(scanner, SectorScanner)
    with pytest.raises(ArgumentError, match="scan sector"):
        film(scanner, phantom.kinematics, phantom.beat, Tissue(density_per_mm2=0.01), 0)
