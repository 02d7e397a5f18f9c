"""The short axis of the heart: an incompressible ring that contracts, twists and shifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.kinematics import BLOOD, MYOCARDIUM, OUTSIDE, piecewise
from cineflow.phantom.regions import Region, aha_segment, contraction

_SECTORS = (
    "anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral",
)  # fmt: skip


@dataclass(frozen=True)
class Annulus:
    """Short axis: an incompressible thick-walled ring that contracts, twists and shifts.

    In the wall, with R the end-diastolic and r the present radius, r^2 = r_e^2 + (R^2 - R_e^2) / l:
    the in-plane area grows by 1/l while the (unseen) long axis shortens by l, so det F * l = 1
    (notes: Rabben 2003, Arts 1992). The cavity scales with its border, and the tissue outside is
    carried along, less and less, to `far_mm`. All three are linear in R^2, hence inverted exactly.

    Attributes:
        centre_mm: Centre of the ring at end-diastole, (x, y).
        endo_mm, epi_mm: Radii R_e, R_p at end-diastole.
        far_mm: Radius beyond which only the translation acts.
        endo_ratio: r_e / R_e at end-systole.
        longitudinal: Stretch l of the long axis at end-systole.
        rotation_deg: Rotation of the endocardium at end-systole, from +x towards +y.
        epi_rotation: Rotation of the epicardium as a share of the endocardium's.
        translation_mm: Shift of the whole heart at end-systole, (x, y).
        regions: Sectors with their own contraction.
        edge_deg: Width of the transition at a sector's border.
        height: Where along the long axis the slice was taken, 0 apex to 1 base: it says which
            segments the ring shows, basal, mid or apical.
    """

    centre_mm: tuple[float, float]
    endo_mm: float = 25.0
    epi_mm: float = 35.0
    far_mm: float = 70.0
    endo_ratio: float = 0.72
    longitudinal: float = 0.84
    rotation_deg: float = 8.0
    epi_rotation: float = 0.65
    translation_mm: tuple[float, float] = (2.0, 2.2)
    regions: tuple[Region, ...] = ()
    edge_deg: float = 12.0
    height: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.endo_mm < self.epi_mm < self.far_mm:
            raise ArgumentError("radii with 0 < endo < epi < far", repr(self))
        if not (self.endo_ratio > 0 and self.longitudinal > 0):
            raise ArgumentError("positive endo_ratio and longitudinal", repr(self))

    @property
    def direction_names(self) -> tuple[str, ...]:
        """`directions`, in order."""
        return "radial", "circumferential"

    @property
    def landmarks(self) -> Mapping[str, np.ndarray]:
        """Endocardium and epicardium in the middle of each of six sectors, anterior first."""
        return {
            f"{sector} {border}": self.wall_point(-90.0 - 60.0 * index, depth)
            for index, sector in enumerate(_SECTORS)
            for border, depth in (("endocardium", 0.0), ("epicardium", 1.0))
        }

    def position(self, material: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `material` [..., 2] mm are at `activation`, mm."""
        q = np.asarray(material, np.float64) - self.centre_mm
        radius = np.hypot(q[..., 0], q[..., 1])
        angle = np.arctan2(q[..., 1], q[..., 0])
        before, after = self._knots(self._local(angle, activation))
        r = np.sqrt(piecewise(radius**2, before, after))
        theta = angle + self._rotation(radius) * activation
        return self._cartesian(r, theta, self._centre(activation))

    def material(self, position: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `position` [..., 2] mm were at end-diastole, mm."""
        q = np.asarray(position, np.float64) - self._centre(activation)
        r_squared = q[..., 0] ** 2 + q[..., 1] ** 2
        theta = np.arctan2(q[..., 1], q[..., 0])
        angle = theta
        # Twist depends on the radius alone; only a region couples radius and angle. The coupling
        # is weak (a factor of about 0.1 per pass), so a dozen passes reach rounding error.
        for _ in range(14 if self.regions else 1):
            before, after = self._knots(self._local(angle, activation))
            radius = np.sqrt(piecewise(r_squared, after, before))
            angle = theta - self._rotation(radius) * activation
        return self._cartesian(radius, angle, np.asarray(self.centre_mm))

    def tissue(self, material: np.ndarray) -> np.ndarray:
        """u8 [...]: OUTSIDE, MYOCARDIUM or BLOOD for each material point [..., 2]."""
        q = np.asarray(material) - self.centre_mm
        radius = np.hypot(q[..., 0], q[..., 1])
        wall = np.where(radius <= self.epi_mm, MYOCARDIUM, OUTSIDE)
        return np.where(radius < self.endo_mm, BLOOD, wall).astype(np.uint8)

    def directions(self, material: np.ndarray) -> np.ndarray:
        """Radial and circumferential unit vectors at end-diastole, [..., 2, 2]."""
        q = np.asarray(material, np.float64) - self.centre_mm
        radial = q / np.maximum(np.hypot(q[..., 0], q[..., 1]), 1e-12)[..., None]
        circumferential = np.stack([-radial[..., 1], radial[..., 0]], axis=-1)
        return np.stack([radial, circumferential], axis=-2)

    def segment(self, material: np.ndarray) -> np.ndarray:
        """AHA segment, u8 [...]: anterior is up on the screen, the septum on the left."""
        q = np.asarray(material, np.float64) - self.centre_mm
        clockwise_from_x = np.rad2deg(np.arctan2(q[..., 1], q[..., 0]))
        return aha_segment(-90.0 - clockwise_from_x, np.asarray(self.height))

    def wall_point(self, angle_deg: float, depth: float) -> np.ndarray:
        """Material point [2] mm in the wall: `depth` 0 at the endocardium, 1 at the epicardium."""
        radius = self.endo_mm + depth * (self.epi_mm - self.endo_mm)
        angle = np.deg2rad(angle_deg)
        return np.asarray(self.centre_mm) + radius * np.array([np.cos(angle), np.sin(angle)])

    def _local(self, angle: np.ndarray, activation: float) -> np.ndarray:
        return activation * contraction(self.regions, angle, self.edge_deg)

    def _knots(self, a: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Squared radii of cavity border, wall border and far field, before and after."""
        endo = (self.endo_mm * (1.0 + (self.endo_ratio - 1.0) * a)) ** 2
        stretch = 1.0 + (self.longitudinal - 1.0) * a
        epi = endo + (self.epi_mm**2 - self.endo_mm**2) / stretch
        zero, far = np.zeros(()), np.asarray(self.far_mm**2)
        before = [zero, np.asarray(self.endo_mm**2), np.asarray(self.epi_mm**2), far]
        return before, [zero, endo, epi, far]

    def _rotation(self, radius: np.ndarray) -> np.ndarray:
        """Rotation at full activation, radians, by end-diastolic radius."""
        inner = np.deg2rad(self.rotation_deg)
        return np.interp(
            radius, [self.endo_mm, self.epi_mm, self.far_mm], [inner, inner * self.epi_rotation, 0]
        )

    def _centre(self, activation: float) -> np.ndarray:
        return np.asarray(self.centre_mm) + activation * np.asarray(self.translation_mm)

    @staticmethod
    def _cartesian(radius: np.ndarray, angle: np.ndarray, centre: np.ndarray) -> np.ndarray:
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1) + centre
