"""The whole left ventricle: a thick-walled ellipsoid that thickens, shortens and twists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.kinematics import piecewise
from cineflow.phantom.meridian import Meridian
from cineflow.phantom.regions import aha_segment

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Ellipsoid(Meridian):
    """The solid of revolution of `Meridian`, twisted. det F = 1 everywhere in the wall.

    The wall first contracts and then twists. The twist turns each point about the axis by an angle
    that depends only on its height and its present distance from the axis, so it preserves volume.
    Both steps have a closed-form inverse, with regions as well. The endocardium of a normal heart
    turns by `apex_rotation_deg` at the apex to `base_rotation_deg` at the base, the epicardium by
    the share `epi_rotation` of that. Outside the wall the rotation fades to zero at `far_mm`.

    Angles and rotations about the axis follow the AHA: 0 is anterior and positive is towards the
    septum, which is counterclockwise seen from the apex.

    Attributes:
        apex_mm: Epicardial apex, (x, y, z).
        axis: Direction from apex to base, (x, y, z); any length.
        anterior: Any direction towards the anterior wall. Only its part across the axis counts.
        apex_rotation_deg, base_rotation_deg: Rotation of the endocardium at end-systole.
        epi_rotation: Rotation of the epicardium as a share of the endocardium's.

    Source:
        Rabben et al. 2003. The twist is that of Arts et al. 1992: counterclockwise at the apex,
        clockwise at the base.
    """

    apex_mm: Vector
    axis: Vector
    anterior: Vector
    apex_rotation_deg: float = 8.0
    base_rotation_deg: float = -4.0
    epi_rotation: float = 0.65

    def __post_init__(self) -> None:
        super().__post_init__()
        axis = np.asarray(self.axis, np.float64)
        across = np.cross(axis, self.anterior)
        if not (np.isfinite(across).all() and np.linalg.norm(across) > 0):
            raise ArgumentError("an anterior direction that is not along the axis", repr(self))

    @property
    def direction_names(self) -> tuple[str, ...]:
        """`directions`, in order."""
        return "radial", "circumferential", "longitudinal"

    @property
    def landmarks(self) -> Mapping[str, np.ndarray]:
        """The middle of each of the 17 segments, halfway through the wall."""
        rings = ((1, 6, 5.0 / 6.0), (7, 6, 0.5), (13, 4, 1.0 / 6.0))
        points = {
            f"segment {first + k}": self.wall_point(360.0 / count * k, height, 0.5)
            for first, count, height in rings
            for k in range(count)
        }
        tip = self._cartesian(np.asarray(self.wall_mm / 2.0), np.zeros(()), np.zeros(()))
        return {**points, "segment 17": tip}

    def position(self, material: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `material` [..., 3] mm are at `activation`, mm."""
        z, u, v = self._cylinder(material)
        squared = u * u + v * v
        before, after = self._knots(z, u, v, activation)
        moved = piecewise(squared, before, after)
        scale = np.sqrt(moved / np.maximum(squared, 1e-30))
        u, v = _turn(u, v, activation * self._rotation(z, moved, activation))
        return self._cartesian(z * self.stretch(activation), scale * u, scale * v)

    def material(self, position: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `position` [..., 3] mm were at end-diastole, mm."""
        z, u, v = self._cylinder(position)
        z = z / self.stretch(activation)
        squared = u * u + v * v
        u, v = _turn(u, v, -activation * self._rotation(z, squared, activation))
        before, after = self._knots(z, u, v, activation)
        scale = np.sqrt(piecewise(squared, after, before) / np.maximum(squared, 1e-30))
        return self._cartesian(z, scale * u, scale * v)

    def tissue(self, material: np.ndarray) -> np.ndarray:
        """u8 [...]: OUTSIDE, MYOCARDIUM or BLOOD for each material point [..., 3]."""
        z, u, v = self._cylinder(material)
        return self.tissue_at(z, u * u + v * v)

    def directions(self, material: np.ndarray) -> np.ndarray:
        """Radial (out of the wall), circumferential (towards the septum from anterior) and
        longitudinal (along the wall towards the base), [..., 3, 3].

        On the axis they are NaN, except for the radial direction of the cap.
        """
        z, u, v = self._cylinder(material)
        q = np.hypot(u, v)
        along, across = self.outward(z, q)
        cosine, sine = (np.divide(c, q, out=np.zeros_like(q), where=q > 0) for c in (u, v))
        axis, anterior, septal = self._axes
        away = cosine[..., None] * anterior + sine[..., None] * septal
        radial = along[..., None] * axis + across[..., None] * away
        around = cosine[..., None] * septal - sine[..., None] * anterior
        up = across[..., None] * axis - along[..., None] * away
        frame = np.stack([radial, around, up], axis=-2)
        frame[~frame.any(axis=-1)] = np.nan
        return frame

    def segment(self, material: np.ndarray) -> np.ndarray:
        """AHA segment of each material point [..., 3], u8 [...]."""
        z, u, v = self._cylinder(material)
        return aha_segment(self._angle_deg(u, v), self.height_of(z))

    def wall_point(self, angle_deg: float, height: float, depth: float) -> np.ndarray:
        """Material point [3] mm in the wall.

        Args:
            angle_deg: From the anterior wall towards the septum.
            height: 0 at the apical end of the cavity, 1 at the base.
            depth: 0 at the endocardium, 1 at the epicardium, across the axis.
        """
        z = np.asarray(self.wall_mm + height * self.length_mm)
        endo, epi = (np.sqrt(border) for border in self.borders(z))
        q, angle = endo + depth * (epi - endo), np.deg2rad(angle_deg)
        return self._cartesian(z, q * np.cos(angle), q * np.sin(angle))

    @property
    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors: apex to base, anterior, and 90 degrees from anterior towards the septum."""
        axis = np.asarray(self.axis, np.float64) / np.linalg.norm(self.axis)
        septal = np.cross(self.anterior, axis)
        septal = septal / np.linalg.norm(septal)
        return axis, np.cross(axis, septal), septal

    def _cylinder(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates along the axis from the apex, towards anterior and towards septal, mm."""
        offset = np.asarray(points, np.float64) - self.apex_mm
        axis, anterior, septal = self._axes
        return offset @ axis, offset @ anterior, offset @ septal

    def _cartesian(self, z: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        axis, anterior, septal = self._axes
        across = u[..., None] * anterior + v[..., None] * septal
        return np.asarray(z[..., None] * axis + across + np.asarray(self.apex_mm))

    def _knots(
        self, z: np.ndarray, u: np.ndarray, v: np.ndarray, activation: float
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        # The angle takes a third of the map's time and only regions need it.
        angle = self._angle_deg(u, v) if self.regions else np.zeros(())
        return self.knots(z, angle, activation)

    def _angle_deg(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.asarray(np.rad2deg(np.arctan2(v, u)))

    def _rotation(self, z: np.ndarray, squared: np.ndarray, activation: float) -> np.ndarray:
        """Rotation at full activation, radians, by material z and present squared distance."""
        endo, epi = self.moved_borders(z, activation, np.ones(()))
        depth = np.clip((squared - endo) / (epi - endo), 0.0, 1.0)
        outside = np.clip((self.far_mm**2 - squared) / (self.far_mm**2 - epi), 0.0, 1.0)
        turn = np.interp(
            self.height_of(z), [0.0, 1.0], [self.apex_rotation_deg, self.base_rotation_deg]
        )
        return np.asarray(np.deg2rad(turn) * (1.0 - (1.0 - self.epi_rotation) * depth) * outside)


def _turn(u: np.ndarray, v: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return u * cosine - v * sine, u * sine + v * cosine
