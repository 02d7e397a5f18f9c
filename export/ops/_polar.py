"""What the bodies of the polar ops and of `cineflow::ScanConvert` share.

All that the attributes alone decide (the rays' directions, the radii) is computed in double
precision and stored as constants. The rest depends on the centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cineflow.export.ops._operator import Attribute, InputShapes, Shape
from cineflow.export.ops._text import F32, constant, levels, result

_TURN = 2 * math.pi

#: Attributes of both polar ops.
POLAR: dict[str, Attribute] = {
    "rows": int,
    "columns": int,
    "first_angle": 0.0,
    "angle_step": float,
    "first_radius": 0.0,
    "radius_step": 1.0,
    "wraps": 1,
    "border": "zeros",
    "scale": 1.0,
    "offset": 0.0,
}


def grid_shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    """[N, C, rows, columns], of volumes [N, C, slices, rows, columns]."""
    slices = [attributes["slices"]] if len(shapes["src"]) == 5 else []
    return (*shapes["src"][:2], *slices, attributes["rows"], attributes["columns"])


class Steps(Protocol):
    """Where the samples of a polar image lie, radians and pixels."""

    @property
    def first_angle(self) -> float: ...
    @property
    def angle_step(self) -> float: ...
    @property
    def first_radius(self) -> float: ...
    @property
    def radius_step(self) -> float: ...


class Size(Protocol):
    """The size of a result."""

    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...


@dataclass(frozen=True)
class PolarGrid:
    """The attributes that the body of a polar op is written for.

    Attributes:
        rows: Angles of a polar result, height of a Cartesian one.
        columns: Radii of a polar result, width of a Cartesian one.
        first_angle: Radians, from x towards y.
        angle_step: Radians.
        first_radius: Pixels.
        radius_step: Pixels.
        wraps: Whether the angles are a full circle; PolarResample ignores it.
        border: "zeros" or "clamp"; a full circle has no border along its angles.

    Raises:
        ValueError: The kernels refuse this attribute as well (csrc/core/check/polar.cpp).
    """

    rows: int
    columns: int
    first_angle: float
    angle_step: float
    first_radius: float
    radius_step: float
    wraps: int
    border: str

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"rows {self.rows}, columns {self.columns}")
        if not (1e-7 <= abs(self.angle_step) <= 7 and 1e-7 <= abs(self.radius_step) <= 1e6):
            raise ValueError(f"angle_step {self.angle_step}, radius_step {self.radius_step}")


def groups() -> str:
    """`planes` f32 [G, P, H, W] and `centre_x`, `centre_y` [G, 1, 1, 1] from `src` and `centre`.

    G is the number of centres, 1 or N; with any other number the Reshape fails. One centre for all
    N frames makes their N C planes one image, so that its coordinates are computed once.
    """
    return f"""
  src_f32 = Cast <to: int = {F32}> (src)
  slice_0 = Constant <value = int64[1] {{0}}> ()
  slice_1 = Constant <value = int64[1] {{1}}> ()
  slice_2 = Constant <value = int64[1] {{2}}> ()
  frames = Shape <start: int = 0, end: int = 1> (src)
  channels = Shape <start: int = 1, end: int = 2> (src)
  plane_size = Shape <start: int = 2, end: int = 4> (src)
  centres = Shape <start: int = 0, end: int = 1> (centre)
  frames_by_2 = Concat <axis: int = 0> (frames, slice_2)
  spread = Expand (centre, frames_by_2)
  each = Reshape <allowzero: int = 1> (spread, frames_by_2)
  used = Slice (each, slice_0, centres, slice_0)
  groups = Shape <start: int = 0, end: int = 1> (used)
  all_planes = Mul (frames, channels)
  groups_or_1 = Max (groups, slice_1)
  group_planes = Div (all_planes, groups_or_1)
  planes_shape = Concat <axis: int = 0> (groups, group_planes, plane_size)
  planes = Reshape <allowzero: int = 1> (src_f32, planes_shape)
  xs, ys = Split <axis: int = 1, num_outputs: int = 2> (used)
  plane_axes = Constant <value = int64[2] {{2, 3}}> ()
  centre_x = Unsqueeze (xs, plane_axes)
  centre_y = Unsqueeze (ys, plane_axes)"""


def finish(grid: Size, from_bytes: bool, to_bytes: bool = False, slices: Sequence[int] = ()) -> str:
    """`out` [N, C, rows, columns]: offset + scale * `sampled`. Volumes have `slices` also."""
    sides = [*slices, grid.rows, grid.columns]
    return f"""
  size_out = Constant <value = int64[{len(sides)}] {{{", ".join(map(str, sides))}}}> ()
  shape_out = Concat <axis: int = 0> (frames, channels, size_out)
  unfolded = Reshape <allowzero: int = 1> (sampled, shape_out)
  factor = Constant <value_float: float = @scale> ()
  addend = Constant <value_float: float = @offset> ()
  scaled = Mul (unfolded, factor)
  out_f32 = Add (scaled, addend)
  {levels() if to_bytes else result("src", from_bytes)}"""


def sector(angle_step: float, axis: int = 2) -> str:
    """`angles`, `turn` and `cut` of the angles of a sector along an axis of `planes`: see
    `around`."""
    return f"""
  angles_i = Shape <start: int = {axis}, end: int = {axis + 1}> (planes)
  angles = Cast <to: int = {F32}> (angles_i)
  {constant("turn", "", [_TURN / abs(angle_step)])}
  {constant("pair", "", [2])}
  angles_and_turn = Add (angles, turn)
  gap_end = Sub (angles_and_turn, unit)
  cut = Div (gap_end, pair)"""


def positions(grid: Steps, gap: str, column: str = "x", row: str = "y") -> str:
    """The column and row of a polar image that each pixel (`row`, `column`) reads.

    Args:
        grid: The steps of the polar image.
        gap: As in `around`.
        column: Name of the result, columns of the polar image.
        row: Name of the result, rows of the polar image.
    """
    return f"""
  {TO_POLAR}
  {constant("first_radius", "", [grid.first_radius])}
  {constant("radii_per_pixel", "", [1 / grid.radius_step])}
  beyond_first = Sub (distance, first_radius)
  {column} = Mul (beyond_first, radii_per_pixel)
  {around(grid.first_angle, grid.angle_step, gap, row)}"""


def around(first_angle: float, angle_step: float, gap: str, to: str) -> str:
    """`to`: the position of `angle` among evenly spaced angles.

    Args:
        first_angle: Radians.
        angle_step: Radians.
        gap: Lines that define `turn`, the steps in a full circle, and `cut`: positions beyond it
            are counted back from the first angle.
        to: Name of the result.
    """
    first_angle = math.fmod(math.fmod(first_angle, _TURN) + _TURN, _TURN)
    return f"""
  {constant("first_angle", "", [first_angle])}
  {constant("angles_per_radian", "", [1 / angle_step])}
  {gap}
  from_first = Sub (angle, first_angle)
  turned = Mul (from_first, angles_per_radian)
  turned_on = Add (turned, turn)
  turned_back = Less (turned, zero)
  forward = Where (turned_back, turned_on, turned)
  forward_less = Sub (forward, turn)
  past_cut = Greater (forward, cut)
  {to} = Where (past_cut, forward_less, forward)"""


# `angle` and `distance` of the pixels (`row`, `column`) from a centre (`centre_x`, `centre_y`).
#
# As in csrc/core/math/polar.h, the octant of the angle is mirrored onto [0, pi / 4], and a far
# centre is brought nearer so that no square overflows (a non-finite centre becomes NaN). Values are
# [G, 1, h, w], or broadcast to that.
TO_POLAR = f"""
  {constant("zero", "", [0])}
  {constant("unit", "", [1])}
  {constant("reach", "", [1e18])}
  {constant("quarter_turn", "", [_TURN / 4])}
  {constant("half_turn", "", [_TURN / 2])}
  {constant("full_turn", "", [_TURN])}
  size_x = Abs (centre_x)
  size_y = Abs (centre_y)
  far_side = Max (size_x, size_y)
  is_far = Greater (far_side, reach)
  reached = Div (reach, far_side)
  nearer = Where (is_far, reached, unit)
  near_x = Mul (centre_x, nearer)
  near_y = Mul (centre_y, nearer)
  across_it = Sub (column, near_x)
  down_it = Sub (row, near_y)

  wide = Abs (across_it)
  tall = Abs (down_it)
  long_side = Max (wide, tall)
  short_side = Min (wide, tall)
  not_centre = Greater (long_side, zero)
  divisor = Where (not_centre, long_side, unit)
  ratio = Div (short_side, divisor)
  octant = Atan (ratio)
  is_tall = Greater (tall, wide)
  octant_mirrored = Sub (quarter_turn, octant)
  quadrant = Where (is_tall, octant_mirrored, octant)
  is_left = Less (across_it, zero)
  quadrant_mirrored = Sub (half_turn, quadrant)
  half_plane = Where (is_left, quadrant_mirrored, quadrant)
  is_above = Less (down_it, zero)
  half_plane_mirrored = Sub (full_turn, half_plane)
  angle = Where (is_above, half_plane_mirrored, half_plane)

  across_square = Mul (across_it, across_it)
  down_square = Mul (down_it, down_it)
  square = Add (across_square, down_square)
  distance = Sqrt (square)"""
