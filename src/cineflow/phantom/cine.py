"""A phantom: a moving heart, the scanner that images it, and its exact motion."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom import magnetic, speckle
from cineflow.phantom.beat import Beat
from cineflow.phantom.kinematics import BLOOD, MYOCARDIUM, Kinematics, deformation_gradient
from cineflow.phantom.magnetic import MagneticScanner
from cineflow.phantom.scanner import SectorScanner
from cineflow.phantom.speckle import Tissue

Convention = Literal["lagrangian", "green_lagrange", "natural"]


@dataclass(frozen=True)
class Phantom:
    """A synthetic cine with exactly known motion, deterministic by seed.

    Images are [H, W] and volumes [D, H, W]; `size` below stands for either. Flow and displacement
    are in pixels, channel 0 = x, 1 = y (, 2 = z) (docs/conventions.md). A phantom is easier than a
    patient: by default it has no clutter, no drop-out and no motion across the plane.

    Attributes:
        kinematics: How the heart moves.
        scanner: How the heart is imaged: ultrasound, or cine-MR.
        beat: When the heart moves.
        tissue: Reflection of ultrasound. An MR scanner has its own signals.
        seed: Seed of the speckle or shading, and of the noise.

    Raises:
        ArgumentError: A `tissue` for an MR scanner, which would ignore it, or a seed that is not an
            integer >= 0.
    """

    kinematics: Kinematics
    scanner: SectorScanner | MagneticScanner = field(default_factory=SectorScanner)
    beat: Beat = field(default_factory=Beat)
    tissue: Tissue = field(default_factory=Tissue)
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise ArgumentError("a seed that is a whole number of 0 or more", repr(self.seed))
        if isinstance(self.scanner, MagneticScanner) and self.tissue != Tissue():
            raise ArgumentError(
                "the default tissue with an MR scanner",
                repr(self.tissue),
                "Speckle decorrelation and clutter apply to ultrasound only",
            )

    def __len__(self) -> int:
        return self.beat.frames

    @property
    def size(self) -> tuple[int, ...]:
        """(rows, columns) or (slices, rows, columns)."""
        return self.scanner.size

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """(row_mm, column_mm) or (slice_mm, row_mm, column_mm)."""
        return self.scanner.spacing_mm

    @property
    def times_ms(self) -> np.ndarray:
        """Time of each frame, f64 [T], ms."""
        return self.beat.times_ms

    @property
    def sector(self) -> np.ndarray:
        """Pixels inside the scan sector, bool `size`."""
        return self.scanner.sector

    @property
    def ed(self) -> int:
        """The first end-diastolic frame; `beat.end_diastoles` has those of every beat."""
        return self.beat.end_diastoles[0]

    @property
    def es(self) -> int:
        """The first end-systolic frame; `beat.end_systoles` has those of every beat.

        Raises:
            ArgumentError: The cine ends before end-systole.
        """
        if not self.beat.end_systoles:
            raise ArgumentError("a cine that reaches end-systole", f"{len(self)} frames")
        return self.beat.end_systoles[0]

    @cached_property
    def frames(self) -> np.ndarray:
        """The cine, u8 [T, *size], black outside the sector."""
        if isinstance(self.scanner, MagneticScanner):
            return magnetic.film(self.scanner, self.kinematics, self.beat, self.seed)
        return speckle.film(self.scanner, self.kinematics, self.beat, self.tissue, self.seed)

    def flow(self, i: int, j: int) -> np.ndarray:
        """True flow from frame `i` to frame `j` on frame i's grid, f32 [D, *size] px.

        frame_j(p + flow(p)) shows the tissue that frame_i shows at p. In the cavity it is the
        motion of the phantom's map, although the blood itself is replaced at every frame.
        """
        here = self.scanner.pixels_mm
        there = self.kinematics.position(self._material(i), self.beat.activation(j))
        return np.moveaxis(self._to_px(there - here), -1, 0).astype(np.float32)

    def displacement(self, i: int, reference: int = 0) -> np.ndarray:
        """True displacement since frame `reference`, on that frame's grid, f32 [D, *size] px."""
        return self.flow(reference, i)

    def tissue_map(self, i: int) -> np.ndarray:
        """u8 `size`: OUTSIDE, MYOCARDIUM or BLOOD at frame `i`."""
        return self.kinematics.tissue(self._material(i))

    def myocardium(self, i: int) -> np.ndarray:
        """Pixels of the wall inside the sector at frame `i`, bool `size`."""
        return (self.tissue_map(i) == MYOCARDIUM) & self.sector

    def cavity(self, i: int) -> np.ndarray:
        """Pixels of the blood inside the sector at frame `i`, bool `size`."""
        return (self.tissue_map(i) == BLOOD) & self.sector

    def segments(self, i: int = 0) -> np.ndarray:
        """AHA segment, 1 to 17, of each wall pixel at frame `i`, u8 `size`; 0 elsewhere."""
        labels = self.kinematics.segment(self._material(i))
        return np.where(self.myocardium(i), labels, np.uint8(0))

    def directions(self) -> np.ndarray:
        """Wall directions on the end-diastolic grid, f64 [K, *size, D] unit vectors in mm.

        They are in the order of `kinematics.direction_names` and fit `cineflow.motion.strain`.
        """
        return np.moveaxis(self.kinematics.directions(self.scanner.pixels_mm), -2, 0)

    def strain(self, i: int, convention: Convention = "lagrangian") -> np.ndarray:
        """True strain since end-diastole, on the end-diastolic grid, f32 [K, *size], a fraction.

        The entries are in the order of `kinematics.direction_names`, and NaN outside the wall. With
        s = |F d| the stretch of a fibre along d, the strain is s - 1 (lagrangian), (s^2 - 1) / 2
        (green_lagrange) or ln s (natural).

        Raises:
            ArgumentError: An unknown convention.
        """
        if convention not in ("lagrangian", "green_lagrange", "natural"):
            raise ArgumentError(
                "lagrangian, green_lagrange or natural as convention", repr(convention)
            )
        wall = (self.kinematics.tissue(self.scanner.pixels_mm) == MYOCARDIUM) & self.sector
        points = self.scanner.pixels_mm[wall]
        gradient = deformation_gradient(self.kinematics, points, self.beat.activation(i))
        fibres = self.kinematics.directions(points)  # [N, K, D]
        stretch = np.linalg.norm(np.einsum("nij,nkj->nki", gradient, fibres), axis=-1)
        if convention == "green_lagrange":
            value = 0.5 * (stretch**2 - 1.0)
        else:
            value = np.log(stretch) if convention == "natural" else stretch - 1.0
        strain = np.full((fibres.shape[1], *self.size), np.nan, np.float32)
        strain[:, wall] = value.T
        return strain

    @property
    def key_point_names(self) -> tuple[str, ...]:
        """Names of the `key_points`, in order."""
        return tuple(self.kinematics.landmarks)

    @property
    def key_points(self) -> np.ndarray:
        """True positions of the landmarks over time, f64 [T, K, D] px (x, y[, z])."""
        return self.track(np.stack(list(self.kinematics.landmarks.values())))

    def track(self, material_mm: np.ndarray) -> np.ndarray:
        """Positions of material points [N, D] mm at every frame, f64 [T, N, D] px."""
        moments = (self.beat.activation(frame) for frame in range(len(self)))
        return np.stack([self._to_px(self.kinematics.position(material_mm, a)) for a in moments])

    def _material(self, i: int) -> np.ndarray:
        """End-diastolic position of each pixel's tissue, f64 [*size, D] mm."""
        return self.kinematics.material(self.scanner.pixels_mm, self.beat.activation(i))

    def _to_px(self, mm: np.ndarray) -> np.ndarray:
        return mm / np.array(self.spacing_mm[::-1])
