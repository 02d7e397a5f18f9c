"""The long-axis section of a thick-walled ellipsoid that shortens and thickens (Rabben 2003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.kinematics import BLOOD, MYOCARDIUM, OUTSIDE, piecewise

#: Keeps the cavity's and the wall's squared radii apart where both vanish, mm^2.
_APART = 1e-6


@dataclass(frozen=True)
class LongAxis:
    """A half-ellipsoid wall that opens into a tube at the base; the apex stays where it is.

    With z along the axis from the apex and q across it: z' = l z, and at each material z
    q'^2 = e' + (q^2 - e) / l in the wall, where e = q_endo(z)^2 and e' = (ratio * q_endo)^2. Turned
    about its axis this is a solid whose volume is kept exactly (l * 1/l = 1). The cavity scales
    with its border; tissue outside follows, less and less across, to `far_mm`. There is no torsion:
    it would leave the plane.

    Attributes:
        apex_mm: Epicardial apex, (x, y).
        axis_deg: Direction from apex to base, from +x towards +y (90 = straight down).
        length_mm: Apex (endocardial) to base at end-diastole.
        endo_mm: Largest radius of the cavity.
        wall_mm: Wall thickness.
        far_mm: Distance from the axis beyond which nothing moves across it.
        endo_ratio: Cavity radius at end-systole over end-diastole.
        longitudinal: Length at end-systole over end-diastole.
    """

    apex_mm: tuple[float, float]
    axis_deg: float
    length_mm: float = 70.0
    endo_mm: float = 24.0
    wall_mm: float = 9.0
    far_mm: float = 70.0
    endo_ratio: float = 0.70
    longitudinal: float = 0.84

    def __post_init__(self) -> None:
        if min(self.endo_mm, self.wall_mm, self.length_mm) <= 0:
            raise ArgumentError("positive lengths", repr(self))
        if not self.endo_mm + self.wall_mm < self.far_mm:
            raise ArgumentError("far_mm outside the wall", repr(self))
        if min(self.endo_ratio, self.longitudinal) <= 0:
            raise ArgumentError("positive endo_ratio and longitudinal", repr(self))

    def position(self, material: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `material` [..., 2] mm are at `activation`, mm."""
        z, q = self._along_across(material)
        before, after = self._knots(z, activation)
        moved = np.sqrt(piecewise(q * q, before, after))
        return self._cartesian(z * self._stretch(activation), np.copysign(moved, q))

    def material(self, position: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `position` [..., 2] mm were at end-diastole, mm."""
        z, q = self._along_across(position)
        z = z / self._stretch(activation)
        before, after = self._knots(z, activation)
        return self._cartesian(z, np.copysign(np.sqrt(piecewise(q * q, after, before)), q))

    def tissue(self, material: np.ndarray) -> np.ndarray:
        """u8 [...]: OUTSIDE, MYOCARDIUM or BLOOD for each material point [..., 2]."""
        z, q = self._along_across(material)
        endo, epi = self._borders(z)
        wall = np.where((q * q <= epi) & (z > 0), MYOCARDIUM, OUTSIDE)
        return np.where((q * q < endo) & (z > self.wall_mm), BLOOD, wall).astype(np.uint8)

    def directions(self, material: np.ndarray) -> np.ndarray:
        """Radial (out of the wall) and longitudinal (towards the base), [..., 2, 2]."""
        z, q = self._along_across(material)
        height = self.length_mm + self.wall_mm
        across = q / (self.endo_mm + self.wall_mm) ** 2
        along = np.where(z < height, (z - height) / height**2, 0.0)
        norm = np.maximum(np.hypot(along, across), 1e-12)
        along, across = along / norm, across / norm
        axis, side = self._axes
        radial = along[..., None] * axis + across[..., None] * side
        turned = np.abs(across)[..., None] * axis - (np.sign(across) * along)[..., None] * side
        return np.stack([radial, turned], axis=-2)

    def chord(self, height: float) -> np.ndarray:
        """Four material points [4, 2] mm across the ventricle at `height` (0 apex, 1 base).

        Outer and inner border on the one side of the axis (against +90 degrees), inner and outer
        on the other: septum, septum, posterior wall, posterior wall of a parasternal long axis.
        """
        z = np.full(4, self.wall_mm + height * self.length_mm)
        endo, epi = (np.sqrt(border) for border in self._borders(z))
        return self._cartesian(z, np.array([-epi[0], -endo[0], endo[0], epi[0]]))

    @property
    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        angle = np.deg2rad(self.axis_deg)
        axis = np.array([np.cos(angle), np.sin(angle)])
        return axis, np.array([-axis[1], axis[0]])

    def _along_across(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = np.asarray(points, np.float64) - self.apex_mm
        axis, side = self._axes
        return offset @ axis, offset @ side

    def _cartesian(self, z: np.ndarray, q: np.ndarray) -> np.ndarray:
        axis, side = self._axes
        return z[..., None] * axis + q[..., None] * side + np.asarray(self.apex_mm)

    def _stretch(self, activation: float) -> float:
        return 1.0 + (self.longitudinal - 1.0) * activation

    def _borders(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distance of the endo- and epicardium from the axis at material z."""
        left = np.clip(self.length_mm + self.wall_mm - z, 0.0, None)  # to the base
        endo = self.endo_mm**2 * np.clip(1.0 - (left / self.length_mm) ** 2, 0.0, None)
        height = self.length_mm + self.wall_mm
        epi = (self.endo_mm + self.wall_mm) ** 2 * np.clip(1.0 - (left / height) ** 2, 0.0, None)
        endo = np.maximum(endo, _APART)
        return endo, np.maximum(epi, endo + _APART)

    def _knots(self, z: np.ndarray, a: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        endo, epi = self._borders(z)
        inner = endo * (1.0 + (self.endo_ratio - 1.0) * a) ** 2
        outer = inner + (epi - endo) / self._stretch(a)
        zero, far = np.zeros(()), np.asarray(self.far_mm**2)
        return [zero, endo, epi, far], [zero, inner, outer, far]
