"""The short axis of the heart: an incompressible ring that contracts, twists and shifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.checks import require_finite
from cineflow.phantom.kinematics import (
    BLOOD,
    MYOCARDIUM,
    OUTSIDE,
    deformation_gradient,
    piecewise,
)
from cineflow.phantom.regions import Region, aha_segment, contraction, sampled_contraction

_SECTORS = (
    "anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral",
)  # fmt: skip


_PASSES = 30  # of the fixed-point iteration; a typical heart needs a dozen
_HALVINGS = 50  # of a bracket smaller than one turn: down to rounding error
_CLOSE_RAD = 1e-12


@dataclass(frozen=True)
class Annulus:
    """Short axis: an incompressible thick-walled ring that contracts, twists and shifts.

    In the wall r^2 = r_e^2 + (R^2 - R_e^2) / l, with R the end-diastolic and r the present radius.
    The in-plane area grows by 1/l while the long axis, which is not visible, shortens by l, so
    det F * l = 1 (Rabben 2003, Arts 1992). The cavity scales with its border. The tissue outside
    moves along, with a motion that fades to zero at `far_mm`. All three maps are linear in R^2 and
    are inverted exactly. With regions, angle and radius depend on each other, and the inverse is
    accurate to rounding error. A ring that would fold, close or leave `far_mm` is refused.

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
        height: Where along the long axis the slice was taken, 0 apex to 1 base. It decides which
            segments the ring shows: basal, mid or apical.
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
        require_finite(self)
        if not 0 < self.endo_mm < self.epi_mm < self.far_mm:
            raise ArgumentError("radii with 0 < endo < epi < far", repr(self))
        if not min(self.endo_ratio, self.longitudinal, self.edge_deg) > 0:
            raise ArgumentError("positive endo_ratio, longitudinal and edge_deg", repr(self))
        if not (self._keeps_order() and self._never_folds()):
            raise ArgumentError(
                "a wall that stays open, unfolded and inside far_mm",
                repr(self),
                "Use less contraction or rotation, or a larger far_mm",
            )

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
        angle = self._angle_before(r_squared, theta, activation)
        radius = self._radius_before(r_squared, angle, activation)
        return self._cartesian(radius, angle, np.asarray(self.centre_mm))

    def tissue(self, material: np.ndarray) -> np.ndarray:
        """u8 [...]: OUTSIDE, MYOCARDIUM or BLOOD for each material point [..., 2]."""
        q = np.asarray(material) - self.centre_mm
        radius = np.hypot(q[..., 0], q[..., 1])
        wall = np.where(radius <= self.epi_mm, MYOCARDIUM, OUTSIDE)
        return np.where(radius < self.endo_mm, BLOOD, wall).astype(np.uint8)

    def directions(self, material: np.ndarray) -> np.ndarray:
        """Radial and circumferential unit vectors at end-diastole, [..., 2, 2]; NaN at the
        centre."""
        q = np.asarray(material, np.float64) - self.centre_mm
        radius = np.hypot(q[..., 0], q[..., 1])[..., None]
        radial = q / np.where(radius > 0, radius, np.nan)
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

    def _angle_before(
        self, r_squared: np.ndarray, theta: np.ndarray, activation: float
    ) -> np.ndarray:
        """Angle at end-diastole of the tissue now at (r^2, theta).

        The twist depends on the radius only, but a region couples radius and angle. The coupling is
        usually weak (a factor of about 0.1 per pass), so a fixed-point iteration solves nearly all
        points. The rest is solved by bisection between theta minus and plus the largest rotation.
        """

        def untwisted(r_squared: np.ndarray, theta: np.ndarray, angle: np.ndarray) -> np.ndarray:
            radius = self._radius_before(r_squared, angle, activation)
            return np.asarray(theta - self._rotation(radius) * activation)

        angle = untwisted(r_squared, theta, theta)
        if not self.regions:
            return angle
        for _ in range(_PASSES):
            last, angle = angle, untwisted(r_squared, theta, angle)
            left = np.abs(angle - last) > _CLOSE_RAD
            if not left.any():
                return angle
        r_squared, theta = r_squared[left], theta[left]
        largest = activation * abs(np.deg2rad(self.rotation_deg)) * max(1, abs(self.epi_rotation))
        low, high = theta - largest, theta + largest
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            # A ring that never folds has exactly one root.
            below = middle < untwisted(r_squared, theta, middle)
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        angle[left] = (low + high) / 2.0
        return angle

    def _radius_before(
        self, r_squared: np.ndarray, angle: np.ndarray, activation: float
    ) -> np.ndarray:
        before, after = self._knots(self._local(angle, activation))
        return np.sqrt(piecewise(r_squared, after, before))

    def _keeps_order(self) -> bool:
        """True if at end-systole every border is inside the next one, in every direction."""
        share = sampled_contraction(self.regions, self.edge_deg)
        opening = 1.0 + (self.endo_ratio - 1.0) * share
        stretch = 1.0 + (self.longitudinal - 1.0) * share
        if not min(opening.min(), stretch.min()) > 0:
            return False
        _, endo, epi, far = self._knots(share)[1]
        return bool((endo < epi).all() and (epi < far).all())

    def _never_folds(self) -> bool:
        """True if no area folds over, sampled at half and full contraction.

        Only a region can cause a fold, because it shears the twist.
        """
        if not (self.regions and self.rotation_deg):
            return True
        angle, radius = np.meshgrid(
            np.deg2rad(np.arange(0.0, 360.0, 2.0)), np.linspace(0.5, self.far_mm - 0.1, 71)
        )
        grid = self._cartesian(radius, angle, np.asarray(self.centre_mm))
        moments = (deformation_gradient(self, grid, activation) for activation in (0.5, 1.0))
        return all(bool((np.linalg.det(gradient) > 0).all()) for gradient in moments)

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
