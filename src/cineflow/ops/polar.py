"""Cartesian images to polar ones around a centre, and back."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import (
    Array,
    Border,
    current_stream,
    empty_output,
    is_clamp,
    kind_of,
    require_array,
    require_sides,
)
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator
from cineflow.ops.scalars import is_whole, real


@dataclass(frozen=True)
class PolarGrid:
    """The sample positions of a polar image [..., A, R].

    Sample (i, j) has the angle `first_angle + i * sweep / A` and the radius
    `first_radius + j * (last_radius - first_radius) / R`: half-open intervals, so that a full
    circle does not repeat its first angle. Angles turn from x (right) towards y (down).

    Attributes:
        angles: A, samples around the centre.
        radii: R, samples along each ray.
        last_radius: Pixels; one step beyond the last sample.
        first_radius: Pixels.
        first_angle: Radians.
        sweep: Radians; two pi for a full circle, negative for the other way round.
        angle_step: Radians from one angle to the next. Derived.
        radius_step: Pixels from one radius to the next. Derived.
        is_full_circle: Whether the first angle follows the last. Derived.
    """

    angles: int
    radii: int
    last_radius: float
    first_radius: float = 0.0
    first_angle: float = 0.0
    sweep: float = 2 * math.pi
    angle_step: float = field(init=False, repr=False, compare=False)
    radius_step: float = field(init=False, repr=False, compare=False)
    is_full_circle: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(is_whole(count) and count >= 1 for count in (self.angles, self.radii)):
            raise ArgumentError("a grid of at least 1 x 1 samples", f"{self.angles} x {self.radii}")
        require_sides("grid", (self.angles, self.radii))
        derive = partial(object.__setattr__, self)  # once here, not in every call
        for name in ("last_radius", "first_radius", "first_angle", "sweep"):
            derive(name, real(name, getattr(self, name)))
        if not 0 < abs(self.sweep) <= 2 * math.pi + 1e-9:
            raise ArgumentError("a sweep of up to two pi radians, not 0", repr(self.sweep))
        if not abs(self.last_radius - self.first_radius) > 0:
            raise ArgumentError("radii that differ", f"{self.first_radius}..{self.last_radius}")
        derive("angle_step", self.sweep / self.angles)
        derive("radius_step", (self.last_radius - self.first_radius) / self.radii)
        # Not math.isclose: torch.compile traces this line with a symbolic sweep.
        derive("is_full_circle", abs(abs(self.sweep) - 2 * math.pi) <= 1e-8)


def polar_resample(
    src: Array,
    centre: Array | tuple[float, float],
    grid: PolarGrid,
    *,
    border: Border = "zeros",
    scale: float = 1.0,
    offset: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Sample images along rays from a centre, bilinear.

    `out(i, j) = offset + scale * src(centre + radius_j * (cos angle_i, sin angle_i))`. If all
    frames share one centre, the coordinates are computed once.

    Args:
        src: Cartesian images [N, C, H, W], any strides; float32, float16, bfloat16 or uint8.
        centre: (x, y) in pixels for all frames, or [N, 2] or [1, 2] float32 like `src`. Numbers
            are handed on with the call: nothing is copied to a GPU.
        grid: The samples of the polar image.
        border: "zeros" or "clamp", as in `warp`.
        scale: Factor of the result; 1 / 255 normalises a uint8 image in the same pass.
        offset: Added to the result, so it is the value outside the image.
        out: Where to write. It may not overlap an input.

    Returns:
        [N, C, A, R] in `src`'s dtype (float32 for uint8): `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    size = _shape_of(grid)
    arguments = _arguments(src, centre, grid, size, border, scale, offset)
    return run(_polar_resample, *arguments, out=out)


def polar_unresample(
    src: Array,
    centre: Array | tuple[float, float],
    grid: PolarGrid,
    size: tuple[int, int],
    *,
    border: Border = "zeros",
    scale: float = 1.0,
    offset: float = 0.0,
    out: Array | None = None,
) -> Array:
    """The Cartesian image of a polar one: the inverse of `polar_resample`, bilinear.

    Args:
        src: Polar images [N, C, A, R] of `grid`, any strides; dtypes as in `polar_resample`.
        centre: As in `polar_resample`, in pixels of the Cartesian image.
        grid: The samples of `src`.
        size: (H, W) of the Cartesian image.
        border: Applies beyond the radii and beyond the angles of a sector. The angles of a full
            circle have no border.
        scale: Factor of the result.
        offset: Added to the result, so it is the value outside the polar image.
        out: Where to write. It may not overlap an input.

    Returns:
        [N, C, H, W] in `src`'s dtype (float32 for uint8): `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    if type(src) is not np.ndarray:  # of which the shape says enough
        require_array("src", src, _AXES)
    if tuple(src.shape[2:]) != _shape_of(grid):
        require_array("src", src, _AXES)
        raise ArgumentError(
            f"src of shape [N, C, {grid.angles}, {grid.radii}], the grid's",
            f"shape {list(src.shape)}",
        )
    if not isinstance(size, tuple) or len(size) != 2 or not all(map(is_whole, size)):
        raise ArgumentError("size as two whole numbers, (H, W)", repr(size))
    require_sides("out", size)  # first, because torch's dispatcher takes 64-bit sizes only
    arguments = _arguments(src, centre, grid, size, border, scale, offset)
    if min(size) < 0:
        raise ArgumentError("a size of 0 x 0 pixels or more", f"{size[0]} x {size[1]}")
    return run(_polar_unresample, *arguments, out=out)


def _arguments(
    src: Array,
    centre: Array | tuple[float, float],
    grid: PolarGrid,
    size: tuple[int, int],
    border: Border,
    scale: float,
    offset: float,
) -> tuple[Any, ...]:
    """The arguments in the schema's order."""
    is_clamp(border)
    if isinstance(centre, tuple):
        centre = _array_like(src, centre)
    steps = (grid.first_angle, grid.angle_step, grid.first_radius, grid.radius_step)
    whole = grid.is_full_circle
    scale, offset = real("scale", scale), real("offset", offset)
    return src, centre, *size, *steps, whole, border, scale, offset


def _shape_of(grid: PolarGrid) -> tuple[int, int]:
    """(A, R) of the polar image; raises `ArgumentError` unless `grid` is a PolarGrid."""
    if not isinstance(grid, PolarGrid):
        raise ArgumentError("grid as a cineflow.ops.PolarGrid", type(grid).__name__)
    return grid.angles, grid.radii


def _array_like(src: Array, centre: tuple[float, float]) -> Any:
    """`centre` as a [1, 2] float32 array for a call on `src`.

    For images on a GPU it is on the CPU: the kernel gets its values with the launch.
    """
    if len(centre) != 2:
        raise ArgumentError("centre as (x, y) in pixels", repr(centre))
    values = [[real("centre's x", centre[0]), real("centre's y", centre[1])]]
    if kind_of("src", src) == "torch":
        torch = sys.modules["torch"]
        device = "cpu" if src.is_cuda else src.device
        return torch.tensor(values, dtype=torch.float32, device=device)
    return np.array(values, np.float32)


def _allocate(src: Array, centre: Array, rows: int, columns: int, *_: object) -> Array:
    return empty_output(src, (src.shape[0], src.shape[1], rows, columns))


def _fill(
    kernel: str,
    out: Array,
    src: Array,
    centre: Array,
    rows: int,
    columns: int,
    first_angle: float,
    angle_step: float,
    first_radius: float,
    radius_step: float,
    wraps: bool,
    border: str,
    scale: float,
    offset: float,
) -> None:
    # Not by a tuple of the numbers: calls on small images are short.
    getattr(_C, kernel)(
        src, centre, out, first_angle, angle_step, first_radius, radius_step, wraps,
        is_clamp(border), scale, offset, current_stream(src),
    )  # fmt: skip


_AXES = "[N, C, rows, columns]"
_SCHEMA = (
    "(Tensor src, Tensor centre, SymInt rows, SymInt columns, float first_angle,"
    " float angle_step, float first_radius, float radius_step, bool wraps, str border,"
    " float scale, float offset) -> Tensor"
)
_TENSORS = {"src": _AXES, "centre": "[N or 1, 2]"}
_polar_resample, _polar_unresample = (
    Operator(f"{name}{_SCHEMA}", _TENSORS, _allocate, partial(_fill, name))
    for name in ("polar_resample", "polar_unresample")
)
