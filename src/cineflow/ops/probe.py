"""`ProbeGeometry`: where the lines of a probe lie in the Cartesian image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

from cineflow.errors import ArgumentError
from cineflow.ops.arrays import require_sides
from cineflow.ops.scalars import is_whole, real

_LENGTHS = ("first_depth", "last_depth", "array_radius", "mm_per_pixel")


@dataclass(frozen=True)
class ProbeGeometry:
    """The lines of a sector or curved array, [..., L, S], in the plane of the image.

    The beam axis points down, along y. Line i has the angle
    `first_angle + i * (last_angle - first_angle) / (L - 1)`, and its sample j the depth
    `first_depth + j * (last_depth - first_depth) / (S - 1)` below the probe's face: first and last
    are included. All lines meet in the apex, which lies `array_radius` above the middle of the
    face. Lengths are in mm, or in pixels where `mm_per_pixel` is 1.

    Attributes:
        lines: L, at least 2.
        samples: S along each line, at least 2.
        first_angle: Of line 0, radians from the beam axis (y) towards x.
        last_angle: Of line L - 1.
        last_depth: Of the last sample.
        face: (x, y) of the middle of the probe's face, pixels. The apex of a sector.
        first_depth: Of the first sample, 0 or more.
        array_radius: Radius of a curved array; 0 for a sector.
        mm_per_pixel: Of the Cartesian image.
        apex: (x, y) pixels. Derived.
        steps: First angle and angle step (radians, from x towards y), first radius and radius step
            (pixels), as `PolarGrid` counts them. Derived.
    """

    lines: int
    samples: int
    first_angle: float
    last_angle: float
    last_depth: float
    face: tuple[float, float]
    first_depth: float = 0.0
    array_radius: float = 0.0
    mm_per_pixel: float = 1.0
    apex: tuple[float, float] = field(init=False, repr=False, compare=False)
    steps: tuple[float, float, float, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(is_whole(count) and count >= 2 for count in (self.lines, self.samples)):
            raise ArgumentError("at least 2 lines of 2 samples", f"{self.lines} x {self.samples}")
        require_sides("geometry", (self.lines, self.samples))
        derive = partial(object.__setattr__, self)  # once here, not in every call
        for name in ("first_angle", "last_angle", *_LENGTHS):
            derive(name, finite(name, getattr(self, name)))
        if not isinstance(self.face, tuple) or len(self.face) != 2:
            raise ArgumentError("face as (x, y) in pixels", repr(self.face))
        derive("face", (finite("face's x", self.face[0]), finite("face's y", self.face[1])))
        sweep = self.last_angle - self.first_angle
        if not 0 < abs(sweep) < 2 * math.pi:
            raise ArgumentError("angles that differ by less than a full circle", repr(sweep))
        if not 0 <= self.first_depth < self.last_depth:
            raise ArgumentError(
                "depths with 0 <= first < last", f"{self.first_depth}..{self.last_depth}"
            )
        if self.array_radius < 0:
            raise ArgumentError("an array_radius of 0 or more", repr(self.array_radius))
        if self.mm_per_pixel <= 0:
            raise ArgumentError("mm_per_pixel above 0", repr(self.mm_per_pixel))
        derive("apex", (self.face[0], self.face[1] - self.array_radius / self.mm_per_pixel))
        first_radius = (self.array_radius + self.first_depth) / self.mm_per_pixel
        depth = (self.last_depth - self.first_depth) / self.mm_per_pixel
        turn = (math.pi / 2 - self.first_angle, -sweep / (self.lines - 1))
        derive("steps", (*turn, first_radius, depth / (self.samples - 1)))

    @property
    def shape(self) -> tuple[int, int]:
        """(L, S)."""
        return self.lines, self.samples


def finite(name: str, value: object) -> float:
    """`value` as a float; raises `ArgumentError` unless it is a finite number."""
    number = real(name, value)
    if not math.isfinite(number):
        raise ArgumentError(f"a finite {name}", repr(value))
    return number
