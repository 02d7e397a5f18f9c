"""A phantom: a moving heart, seen by a scanner, with its exact motion."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.beat import Beat
from cineflow.phantom.kinematics import BLOOD, MYOCARDIUM, OUTSIDE, Kinematics
from cineflow.phantom.scanner import SectorScanner

_MARGIN_MM = 10.0  # the least; tissue around the picture may move into it
_SEED_LAYOUT, _SEED_FRAME = 0, 1


@dataclass(frozen=True)
class Tissue:
    """What the scatterers reflect.

    Attributes:
        density_per_mm2: Scatterers per mm^2 at end-diastole; about 40 per resolution cell.
        myocardium, outside, blood: Standard deviation of the reflection.
        decorrelation: Share of each scatterer's reflection (variance) renewed per frame: motion
            across the plane. Blood is renewed whole.
        clutter: Standard deviation, at the probe, of a static haze over the picture.
        clutter_depth_mm: Depth at which the haze has fallen to 1/e.
    """

    density_per_mm2: float = 15.0
    myocardium: float = 1.0
    outside: float = 0.35
    blood: float = 0.06
    decorrelation: float = 0.0
    clutter: float = 0.0
    clutter_depth_mm: float = 40.0


@dataclass(frozen=True)
class Phantom:
    """A synthetic cine with exactly known motion, deterministic by seed.

    Flow and displacement are in pixels, channel 0 = x, 1 = y (docs/conventions.md). Easier than a
    patient: by default no clutter, no drop-out, no motion across the plane.

    Attributes:
        kinematics: How the heart moves.
        scanner: How it is seen.
        beat: When it moves.
        tissue: What reflects.
        seed: Of the speckle and the noise.
    """

    kinematics: Kinematics
    scanner: SectorScanner = field(default_factory=SectorScanner)
    beat: Beat = field(default_factory=Beat)
    tissue: Tissue = field(default_factory=Tissue)
    seed: int = 0

    def __len__(self) -> int:
        return self.beat.frames

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.scanner.size

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """(row_mm, column_mm)."""
        return self.scanner.spacing_mm

    @property
    def times_ms(self) -> np.ndarray:
        """Time of each frame, f64 [T], ms."""
        return self.beat.times_ms

    @property
    def sector(self) -> np.ndarray:
        """Pixels inside the scan sector, bool [H, W]."""
        return self.scanner.sector

    @property
    def ed(self) -> int:
        """The first end-diastolic frame."""
        return self.beat.end_diastoles[0]

    @property
    def es(self) -> int:
        """The first end-systolic frame.

        Raises:
            ArgumentError: The cine ends before end-systole.
        """
        if not self.beat.end_systoles:
            raise ArgumentError("a cine that reaches end-systole", f"{len(self)} frames")
        return self.beat.end_systoles[0]

    @cached_property
    def frames(self) -> np.ndarray:
        """The cine, u8 [T, H, W], black outside the sector."""
        points, kind = self._scatterers
        rng = np.random.default_rng([self.seed, _SEED_FRAME])
        strength = np.array([0.0, 0.0, 0.0])
        strength[[OUTSIDE, MYOCARDIUM, BLOOD]] = (
            self.tissue.outside,
            self.tissue.myocardium,
            self.tissue.blood,
        )
        renewed = np.where(kind == BLOOD, 1.0, self.tissue.decorrelation)
        reflection = rng.standard_normal(len(points))
        haze = self._haze(points, rng) if self.tissue.clutter > 0 else None
        pictures = []
        noise_rms = white_level = 0.0
        for frame in range(len(self)):
            moved = self.kinematics.position(points, self.beat.activation(frame))
            if frame == 0:
                silent = self.scanner.acquire(moved, reflection * strength[kind], 0.0, rng)
                wall_rms = self._wall_rms(moved[kind == MYOCARDIUM], silent)
                white_level = 3.0 * wall_rms  # gain: the wall about 10 dB below white
                if self.scanner.noise_db is not None:
                    noise_rms = wall_rms * 10.0 ** (-self.scanner.noise_db / 20.0)
            else:
                fresh = rng.standard_normal(len(points))
                reflection = np.sqrt(1.0 - renewed) * reflection + np.sqrt(renewed) * fresh
            echo = reflection * strength[kind]
            if haze is not None:
                moved, echo = np.concatenate([moved, points]), np.concatenate([echo, haze])
            envelope = self.scanner.acquire(moved, echo, noise_rms, rng)
            pictures.append(self.scanner.display(envelope, white_level))
        return np.stack(pictures)

    def flow(self, i: int, j: int) -> np.ndarray:
        """True flow from frame `i` to frame `j` on frame i's grid, f32 [2, H, W] px.

        frame_j(p + flow(p)) shows the tissue that frame_i shows at p. In the cavity it is the
        motion of the phantom's map: blood itself is renewed at every frame.
        """
        here = self.scanner.pixels_mm
        material = self.kinematics.material(here, self.beat.activation(i))
        there = self.kinematics.position(material, self.beat.activation(j))
        return self._to_px(there - here)

    def displacement(self, i: int, reference: int = 0) -> np.ndarray:
        """True displacement since frame `reference`, on that frame's grid, f32 [2, H, W] px."""
        return self.flow(reference, i)

    def tissue_map(self, i: int) -> np.ndarray:
        """u8 [H, W]: OUTSIDE, MYOCARDIUM or BLOOD at frame `i`."""
        here = self.scanner.pixels_mm
        return self.kinematics.tissue(self.kinematics.material(here, self.beat.activation(i)))

    def myocardium(self, i: int) -> np.ndarray:
        """Pixels of the wall inside the sector at frame `i`, bool [H, W]."""
        return (self.tissue_map(i) == MYOCARDIUM) & self.sector

    def track(self, material_mm: np.ndarray) -> np.ndarray:
        """Positions of material points [N, 2] mm at every frame, f64 [T, N, 2] px (x, y)."""
        scale = np.array([self.spacing_mm[1], self.spacing_mm[0]])
        return np.stack(
            [
                self.kinematics.position(material_mm, self.beat.activation(frame)) / scale
                for frame in range(len(self))
            ]
        )

    @cached_property
    def _scatterers(self) -> tuple[np.ndarray, np.ndarray]:
        """Material points, f64 [N, 2] mm, and the tissue of each, u8 [N]."""
        rng = np.random.default_rng([self.seed, _SEED_LAYOUT])
        margin = self._margin_mm()
        extent = np.array([self.size[1], self.size[0]]) * self.spacing_mm[::-1] + 2 * margin
        count = int(extent.prod() * self.tissue.density_per_mm2)
        points = rng.random((count, 2)) * extent - margin
        return points, self.kinematics.tissue(points)

    def _margin_mm(self) -> float:
        """How far outside the picture lies what its border shows at full contraction."""
        grid = self.scanner.pixels_mm
        border = np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]])
        origin = self.kinematics.material(border, 1.0)
        outside = max(float(-origin.min()), float((origin - grid[-1, -1]).max()))
        return max(_MARGIN_MM, float(np.ceil(outside)) + 2.0)

    def _haze(self, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Reflection [N] of static clutter: reverberation near the probe."""
        fall = np.exp(-np.maximum(points[:, 1], 0.0) / self.tissue.clutter_depth_mm)
        haze: np.ndarray = self.tissue.clutter * fall * rng.standard_normal(len(points))
        return haze

    def _wall_rms(self, wall_mm: np.ndarray, envelope: np.ndarray) -> float:
        """Root mean square of the envelope over the wall: the reference of gain and noise."""
        depth, angle = self.scanner._polar(wall_mm)
        row = np.rint(depth / self.scanner._depth_step).astype(int)
        column = np.rint(angle / self.scanner._angle_step + (envelope.shape[1] - 1) / 2).astype(int)
        seen = (row >= 0) & (row < envelope.shape[0]) & (column >= 0) & (column < envelope.shape[1])
        return float(np.sqrt(np.mean(envelope[row[seen], column[seen]] ** 2)))

    def _to_px(self, mm: np.ndarray) -> np.ndarray:
        return np.stack([mm[..., 0] / self.spacing_mm[1], mm[..., 1] / self.spacing_mm[0]]).astype(
            np.float32
        )
