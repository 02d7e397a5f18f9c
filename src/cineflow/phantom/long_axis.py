"""The long-axis section of a thick-walled ellipsoid that shortens and thickens (Rabben 2003)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.kinematics import piecewise
from cineflow.phantom.meridian import Meridian
from cineflow.phantom.regions import aha_segment


@dataclass(frozen=True)
class LongAxis(Meridian):
    """A section through the axis of the wall of `Meridian`, without torsion.

    Torsion would move tissue out of the section.

    Attributes:
        apex_mm: Epicardial apex, (x, y).
        axis_deg: Direction from apex to base, from +x towards +y (90 = straight down).
        plane_deg: AHA angle, from the anterior wall towards the septum, of the wall on the side
            of `axis_deg` - 90. The other wall is opposite. At 60 the section is a parasternal long
            axis with the anteroseptal wall on that side.
    """

    apex_mm: tuple[float, float]
    axis_deg: float
    plane_deg: float = 60.0

    @property
    def direction_names(self) -> tuple[str, ...]:
        """`directions`, in order."""
        return "radial", "longitudinal"

    @property
    def landmarks(self) -> Mapping[str, np.ndarray]:
        """The four borders between which LVID, IVS and LVPW are measured."""
        names = ("septum outer", "septum inner", "posterior inner", "posterior outer")
        return dict(zip(names, self.chord(0.72), strict=True))

    def position(self, material: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `material` [..., 2] mm are at `activation`, mm."""
        z, q = self._along_across(material)
        before, after = self.knots(z, self._wall_deg(q), activation)
        moved = np.sqrt(piecewise(q * q, before, after))
        return self._cartesian(z * self.stretch(activation), np.copysign(moved, q))

    def material(self, position: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `position` [..., 2] mm were at end-diastole, mm."""
        z, q = self._along_across(position)
        z = z / self.stretch(activation)
        before, after = self.knots(z, self._wall_deg(q), activation)
        return self._cartesian(z, np.copysign(np.sqrt(piecewise(q * q, after, before)), q))

    def tissue(self, material: np.ndarray) -> np.ndarray:
        """u8 [...]: OUTSIDE, MYOCARDIUM or BLOOD for each material point [..., 2]."""
        z, q = self._along_across(material)
        return self.tissue_at(z, q * q)

    def directions(self, material: np.ndarray) -> np.ndarray:
        """Radial (out of the wall) and longitudinal (towards the base), [..., 2, 2].

        On the axis of the cap the wall lies across the axis, and the longitudinal direction points
        to one side. Further up, the axis is outside the wall and both directions are NaN on it.
        """
        z, q = self._along_across(material)
        along, across = self.outward(z, q)
        axis, side = self._axes
        radial = along[..., None] * axis + across[..., None] * side
        sense = np.where(across < 0, -1.0, 1.0)
        turned = np.abs(across)[..., None] * axis - (sense * along)[..., None] * side
        frame = np.stack([radial, turned], axis=-2)
        frame[~frame.any(axis=-1)] = np.nan
        return frame

    def segment(self, material: np.ndarray) -> np.ndarray:
        """AHA segment of each material point [..., 2], u8 [...]."""
        z, q = self._along_across(material)
        return aha_segment(self._wall_deg(q), self.height_of(z))

    def chord(self, height: float) -> np.ndarray:
        """Four material points [4, 2] mm across the ventricle at `height` (0 apex, 1 base).

        The order is outer, inner on the side of -90 degrees from the axis, then inner, outer on the
        other side. In a parasternal long axis: septum, septum, posterior wall, posterior wall.
        """
        z = np.full(4, self.wall_mm + height * self.length_mm)
        endo, epi = (np.sqrt(border) for border in self.borders(z))
        return self._cartesian(z, np.array([-epi[0], -endo[0], endo[0], epi[0]]))

    def contour(self, depth: float, count: int = 201) -> np.ndarray:
        """Material points [count, 2] mm along the wall, from base through the apex to base.

        Args:
            depth: 0 for the endocardium, 1 for the epicardium, 0.5 for the middle of the wall.
            count: Number of points.

        Raises:
            ArgumentError: A depth outside the wall, or fewer than three points.
        """
        if not 0.0 <= depth <= 1.0 or count < 3:
            raise ArgumentError("a depth of 0 to 1 and three or more points", f"{depth}, {count}")
        # The two ellipses share their centre, the base, so the semi-axes are linear in depth.
        angle = np.linspace(-np.pi / 2.0, np.pi / 2.0, count)
        z = self.length_mm + self.wall_mm - (self.length_mm + depth * self.wall_mm) * np.cos(angle)
        return self._cartesian(z, (self.endo_mm + depth * self.wall_mm) * np.sin(angle))

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

    def _wall_deg(self, q: np.ndarray) -> np.ndarray:
        """AHA angle of the wall on each point's side of the axis."""
        return np.where(q < 0, self.plane_deg, self.plane_deg + 180.0)
