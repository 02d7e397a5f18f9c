"""`VolumeGeometry`: where the planes of a probe lie in the Cartesian volume."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.ops.arrays import require_sides
from cineflow.ops.probe import ProbeGeometry, finite
from cineflow.ops.scalars import is_whole


@dataclass(frozen=True)
class VolumeGeometry:
    """Tilted planes of lines, [..., P, L, S], in a Cartesian volume.

    `plane` places the lines in the plane without a tilt, the slice z = `face_z`. Plane k is that
    plane, turned by `first_tilt + k * (last_tilt - first_tilt) / (P - 1)` about an axis parallel to
    x. The axis lies `sweep_radius` above the middle of the probe's face: 0 for a matrix array whose
    beams are steered in both directions, above 0 for an array that a motor swings.

    Attributes:
        plane: The lines of each plane. Its `mm_per_pixel` is that of the volume in all directions.
        planes: P, at least 2.
        first_tilt: Of plane 0, radians from the beam axis (y) towards z.
        last_tilt: Of plane P - 1.
        face_z: z of the probe's face, in voxels.
        sweep_radius: From the axis of the tilts to the face, mm, 0 or more.
        axis: (y, z) of the axis of the tilts, voxels. Derived.
        tilts: First tilt and tilt step, radians. Derived.
    """

    plane: ProbeGeometry
    planes: int
    first_tilt: float
    last_tilt: float
    face_z: float
    sweep_radius: float = 0.0
    axis: tuple[float, float] = field(init=False, repr=False, compare=False)
    tilts: tuple[float, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.plane, ProbeGeometry):
            raise ArgumentError("plane as a ProbeGeometry", type(self.plane).__name__)
        if not (is_whole(self.planes) and self.planes >= 2):
            raise ArgumentError("at least 2 planes", repr(self.planes))
        require_sides("geometry", (self.planes,))
        derive = partial(object.__setattr__, self)
        for name in ("first_tilt", "last_tilt", "face_z", "sweep_radius"):
            derive(name, finite(name, getattr(self, name)))
        sweep = self.last_tilt - self.first_tilt
        if not 0 < abs(sweep) < 2 * math.pi:
            raise ArgumentError("tilts that differ by less than a full circle", repr(sweep))
        if self.sweep_radius < 0:
            raise ArgumentError("a sweep_radius of 0 or more", repr(self.sweep_radius))
        face_y = self.plane.face[1]
        derive("axis", (face_y - self.sweep_radius / self.plane.mm_per_pixel, self.face_z))
        derive("tilts", (self.first_tilt, sweep / (self.planes - 1)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(P, L, S)."""
        return self.planes, self.plane.lines, self.plane.samples


@lru_cache(maxsize=2)  # a stream has one probe; the flow of a large volume takes a second
def flow_to_samples(geometry: VolumeGeometry) -> np.ndarray:
    """From each place (k, i, j) in the planes to its voxel, [1, 3, P, L, S] float32."""
    planes, lines, samples = geometry.shape
    first_angle, angle_step, first_radius, radius_step = geometry.plane.steps
    angle = first_angle + np.arange(lines)[:, None] * angle_step
    radius = first_radius + np.arange(samples) * radius_step
    tilt = geometry.tilts[0] + np.arange(planes)[:, None, None] * geometry.tilts[1]
    apex_x, apex_y = geometry.plane.apex
    axis_y, axis_z = geometry.axis
    down = radius * np.sin(angle) + (apex_y - axis_y)  # from the axis, in the tilted plane
    flow = np.empty((1, 3, planes, lines, samples), np.float32)
    flow[0, 0] = apex_x + radius * np.cos(angle) - np.arange(samples)
    flow[0, 1] = axis_y + down * np.cos(tilt) - np.arange(lines)[:, None]
    flow[0, 2] = axis_z + down * np.sin(tilt) - np.arange(planes)[:, None, None]
    return flow
