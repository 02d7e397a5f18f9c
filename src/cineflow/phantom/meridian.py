"""The half-ellipsoid wall shared by the long-axis section and the whole ventricle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.checks import require_finite
from cineflow.phantom.kinematics import BLOOD, MYOCARDIUM, OUTSIDE
from cineflow.phantom.regions import Region, contraction, sampled_contraction

#: Separates the squared radii of cavity and wall where both vanish, mm^2.
_APART = 1e-6


@dataclass(frozen=True, kw_only=True)
class Meridian:
    """A half-ellipsoid wall that continues as a tube beyond the base. The apex does not move.

    z runs along the axis from the epicardial apex and q across it. The wall moves by z' = l z and,
    at each material z, q'^2 = e' + (q^2 - e) / l, where e = q_endo(z)^2 and e' = (ratio *
    q_endo)^2. The solid of revolution preserves its volume exactly: the coordinates (q^2, angle, z)
    measure volume, and in them the map's Jacobian is triangular with the diagonal 1/l, 1, l. This
    also holds if the ratio depends on angle and height. The cavity scales with its border. The
    motion of tissue outside fades to zero across the axis at `far_mm`.

    Attributes:
        length_mm: Apex (endocardial) to base at end-diastole.
        endo_mm: Largest radius of the cavity.
        wall_mm: Wall thickness.
        far_mm: Distance from the axis beyond which tissue does not move across it.
        endo_ratio: Cavity radius at end-systole over end-diastole.
        longitudinal: Length at end-systole over end-diastole.
        regions: Parts of the wall with their own contraction across the axis.
        edge_deg: Width of the transition at a sector's border.

    Source:
        Rabben et al. 2003: thick-walled ellipsoid, thickening, shortening.
    """

    length_mm: float = 70.0
    endo_mm: float = 24.0
    wall_mm: float = 9.0
    far_mm: float = 70.0
    endo_ratio: float = 0.70
    longitudinal: float = 0.84
    regions: tuple[Region, ...] = ()
    edge_deg: float = 12.0

    def __post_init__(self) -> None:
        require_finite(self)
        if min(self.endo_mm, self.wall_mm, self.length_mm, self.edge_deg) <= 0:
            raise ArgumentError("positive lengths", repr(self))
        if not self.endo_mm + self.wall_mm < self.far_mm:
            raise ArgumentError("far_mm outside the wall", repr(self))
        if min(self.endo_ratio, self.longitudinal) <= 0:
            raise ArgumentError("positive endo_ratio and longitudinal", repr(self))
        # The wall is widest at the base; the share varies with angle and height.
        z = np.asarray(self.wall_mm + self.length_mm)
        heights = np.linspace(-0.2, 1.2, 57)
        share = sampled_contraction(self.regions, self.edge_deg, heights)
        _, epi = self.moved_borders(z, 1.0, share)
        if not ((1.0 + (self.endo_ratio - 1.0) * share).min() > 0 and epi.max() < self.far_mm**2):
            raise ArgumentError(
                "a cavity that stays open and a wall that stays inside far_mm",
                repr(self),
                "Use less contraction, or a larger far_mm",
            )

    def height_of(self, z: np.ndarray) -> np.ndarray:
        """0 at the apical end of the cavity, 1 at the base, by material z."""
        return np.asarray((z - self.wall_mm) / self.length_mm)

    def stretch(self, activation: float) -> float:
        """z' / z."""
        return 1.0 + (self.longitudinal - 1.0) * activation

    def borders(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distance of the endo- and epicardium from the axis at material z."""
        left = np.clip(self.length_mm + self.wall_mm - z, 0.0, None)  # to the base
        endo = self.endo_mm**2 * np.clip(1.0 - (left / self.length_mm) ** 2, 0.0, None)
        height = self.length_mm + self.wall_mm
        epi = (self.endo_mm + self.wall_mm) ** 2 * np.clip(1.0 - (left / height) ** 2, 0.0, None)
        endo = np.maximum(endo, _APART)
        return endo, np.maximum(epi, endo + _APART)

    def moved_borders(
        self, z: np.ndarray, activation: float, share: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`borders` at an activation; `share` is the value of `contraction`."""
        endo, epi = self.borders(z)
        stretch = self.stretch(activation)
        inner = endo * (1.0 + (self.endo_ratio - 1.0) * activation * share) ** 2
        # Below the cavity everything is wall, including the sliver around the axis from `_APART`.
        inner = np.where(endo > _APART, inner, endo / stretch)
        return inner, inner + (epi - endo) / stretch

    def knots(
        self, z: np.ndarray, angle_deg: np.ndarray, activation: float
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Squared distances of axis, endocardium, epicardium and far field, before and after."""
        share = contraction(self.regions, np.deg2rad(angle_deg), self.edge_deg, self.height_of(z))
        zero, far = np.zeros(()), np.asarray(self.far_mm**2)
        before = [zero, *self.borders(z), far]
        return before, [zero, *self.moved_borders(z, activation, share), far]

    def tissue_at(self, z: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """u8 [...]: OUTSIDE, MYOCARDIUM or BLOOD by material z and squared distance from the
        axis."""
        endo, epi = self.borders(z)
        wall = np.where((squared <= epi) & (z > 0), MYOCARDIUM, OUTSIDE)
        return np.where((squared < endo) & (z > self.wall_mm), BLOOD, wall).astype(np.uint8)

    def outward(self, z: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit normal of the wall by material z and signed q, as (along, across) the axis.

        It is normal to the ellipsoid through the point that is similar to the epicardium.
        """
        height = self.length_mm + self.wall_mm
        across = q / (self.endo_mm + self.wall_mm) ** 2
        along = np.where(z < height, (z - height) / height**2, 0.0)
        norm = np.maximum(np.hypot(along, across), 1e-12)
        return np.asarray(along / norm), np.asarray(across / norm)
