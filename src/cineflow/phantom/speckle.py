"""A cine of moving scatterers: their reflection, its decorrelation, and static haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.beat import Beat
from cineflow.phantom.checks import require_finite
from cineflow.phantom.kinematics import BLOOD, MYOCARDIUM, OUTSIDE, Kinematics
from cineflow.phantom.scanner import SectorScanner

_MARGIN_MM = 10.0  # least margin around the picture, since tissue may move into it
_SEED_LAYOUT, _SEED_FRAME = 0, 1


@dataclass(frozen=True)
class Tissue:
    """Reflection of the scatterers.

    Attributes:
        density_per_mm2: Scatterers per mm^2 of an image at end-diastole; about 40 per resolution
            cell.
        density_per_mm3: Scatterers per mm^3 of a volume; about 10 per resolution cell, the number
            that fully developed speckle needs.
        myocardium, outside, blood: Standard deviation of the reflection.
        decorrelation: Share of each scatterer's reflection (variance) replaced per frame, as by
            motion across the plane. The reflection of blood is replaced completely.
        clutter: Standard deviation, at the probe, of a static haze over the picture.
        clutter_depth_mm: Depth at which the haze has fallen to 1/e.
    """

    density_per_mm2: float = 15.0
    density_per_mm3: float = 0.3
    myocardium: float = 1.0
    outside: float = 0.35
    blood: float = 0.06
    decorrelation: float = 0.0
    clutter: float = 0.0
    clutter_depth_mm: float = 40.0

    def __post_init__(self) -> None:
        require_finite(self)
        if min(self.density_per_mm2, self.density_per_mm3, self.clutter_depth_mm) <= 0:
            raise ArgumentError("positive densities and clutter depth", repr(self))
        if not 0.0 <= self.decorrelation <= 1.0:
            raise ArgumentError("a decorrelation of 0 to 1", f"{self.decorrelation}")
        if not min(self.myocardium, self.outside, self.blood, self.clutter) >= 0:
            raise ArgumentError("reflections and clutter of 0 or more", repr(self))


def film(
    scanner: SectorScanner, heart: Kinematics, beat: Beat, tissue: Tissue, seed: int
) -> np.ndarray:
    """The cine, u8 [T, *scanner.size], black outside the sector."""
    points, kind = _scatter(scanner, heart, tissue, seed)
    rng = np.random.default_rng([seed, _SEED_FRAME])
    strength = np.array([0.0, 0.0, 0.0])
    strength[[OUTSIDE, MYOCARDIUM, BLOOD]] = tissue.outside, tissue.myocardium, tissue.blood
    renewed = np.where(kind == BLOOD, 1.0, tissue.decorrelation)
    reflection = rng.standard_normal(len(points))
    haze = _haze(points, tissue, rng) if tissue.clutter > 0 else None
    pictures = np.empty((beat.frames, *scanner.size), np.uint8)
    noise_rms = white_level = 0.0
    for frame in range(beat.frames):
        moved = heart.position(points, beat.activation(frame))
        if frame == 0:
            silent = scanner.acquire(moved, reflection * strength[kind], 0.0, rng)
            wall_rms = scanner.rms_at(moved[kind == MYOCARDIUM], silent)
            white_level = 3.0 * wall_rms  # gain: the wall about 10 dB below white
            if scanner.noise_db is not None:
                noise_rms = wall_rms * 10.0 ** (-scanner.noise_db / 20.0)
        else:
            fresh = rng.standard_normal(len(points))
            reflection = np.sqrt(1.0 - renewed) * reflection + np.sqrt(renewed) * fresh
        echo = reflection * strength[kind]
        if haze is not None:
            moved, echo = np.concatenate([moved, points]), np.concatenate([echo, haze])
        envelope = scanner.acquire(moved, echo, noise_rms, rng)
        pictures[frame] = scanner.display(envelope, white_level)
    return pictures


def _scatter(
    scanner: SectorScanner, heart: Kinematics, tissue: Tissue, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Material points, f64 [N, D] mm, and the tissue of each, u8 [N]."""
    rng = np.random.default_rng([seed, _SEED_LAYOUT])
    margin = _margin_mm(scanner, heart)
    extent = np.multiply(scanner.size, scanner.spacing_mm)[::-1] + 2 * margin
    dimensions = len(scanner.size)
    density = tissue.density_per_mm2 if dimensions == 2 else tissue.density_per_mm3
    points = rng.random((int(extent.prod() * density), dimensions)) * extent - margin
    return points, heart.tissue(points)


def _margin_mm(scanner: SectorScanner, heart: Kinematics) -> float:
    """Distance outside the picture of the tissue that its border shows at full contraction."""
    grid = scanner.pixels_mm
    faces = [np.take(grid, end, axis) for axis in range(grid.ndim - 1) for end in (0, -1)]
    border = np.concatenate([face.reshape(-1, grid.shape[-1]) for face in faces])
    origin = heart.material(border, 1.0)
    far_corner = grid[(-1,) * (grid.ndim - 1)]
    outside = max(float(-origin.min()), float((origin - far_corner).max()))
    return max(_MARGIN_MM, float(np.ceil(outside)) + 2.0)


def _haze(points: np.ndarray, tissue: Tissue, rng: np.random.Generator) -> np.ndarray:
    """Reflection [N] of static clutter: reverberation near the probe."""
    fall = np.exp(-np.maximum(points[:, 1], 0.0) / tissue.clutter_depth_mm)
    haze: np.ndarray = tissue.clutter * fall * rng.standard_normal(len(points))
    return haze
