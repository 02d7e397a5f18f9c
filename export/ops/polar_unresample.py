"""`cineflow::PolarUnresample`: src(i(p), j(p)), the inverse of PolarResample."""

from __future__ import annotations

import math
from typing import Any

from cineflow.export.ops._operator import F32_TENSOR, Operator
from cineflow.export.ops._polar import POLAR, PolarGrid, finish, grid_shape, groups
from cineflow.export.ops._sample import all_corners, sample
from cineflow.export.ops._text import F32, constant, function, pixels

_TURN = 2 * math.pi


def body(*, from_bytes: bool = False, **attributes: Any) -> str:
    """The ONNX function.

    On a full circle the row after the last angle is the first row again, so one row is appended. A
    sector is cut in the middle of its gap, so that each side of the gap is nearest to its own edge.

    Args:
        from_bytes: Whether `src` is u8; the result is then f32, else of the type of `src`.
        **attributes: The fields of `PolarGrid`; angles and radii are those of `src`.
    """
    grid = PolarGrid(**attributes)
    first_angle = math.fmod(math.fmod(grid.first_angle, _TURN) + _TURN, _TURN)
    return function(
        "PolarUnresample",
        "src, centre",
        f"""
  height = Constant <value = int64[1] {{{grid.rows}}}> ()
  width = Constant <value = int64[1] {{{grid.columns}}}> ()
  {pixels("height", "width")}
  {groups()}
  {_TO_POLAR}
  {constant("first_radius", "", [grid.first_radius])}
  {constant("radii_per_pixel", "", [1 / grid.radius_step])}
  beyond_first = Sub (distance, first_radius)
  x = Mul (beyond_first, radii_per_pixel)

  {constant("first_angle", "", [first_angle])}
  {constant("angles_per_radian", "", [1 / grid.angle_step])}
  {_CIRCLE if grid.wraps else _sector(grid)}
  from_first = Sub (angle, first_angle)
  turned = Mul (from_first, angles_per_radian)
  turned_on = Add (turned, turn)
  turned_back = Less (turned, zero)
  forward = Where (turned_back, turned_on, turned)
  forward_less = Sub (forward, turn)
  past_cut = Greater (forward, cut)
  y = Where (past_cut, forward_less, forward)
  {sample("polar", grid.border, "sampled")}
  {finish(grid, from_bytes)}""",
    )


# `polar` is the sampled image and `turn` the rows of a full circle. Rows beyond `cut` are counted
# back from the first row.
_CIRCLE = f"""
  first_row = Slice (planes, slice_0, slice_1, slice_2)
  polar = Concat <axis: int = 2> (planes, first_row)
  angles_i = Shape <start: int = 2, end: int = 3> (planes)
  turn = Cast <to: int = {F32}> (angles_i)
  cut = Identity (turn)"""


def _sector(grid: PolarGrid) -> str:
    return f"""
  polar = Identity (planes)
  angles_i = Shape <start: int = 2, end: int = 3> (planes)
  angles = Cast <to: int = {F32}> (angles_i)
  {constant("turn", "", [_TURN / abs(grid.angle_step)])}
  {constant("pair", "", [2])}
  angles_and_turn = Add (angles, turn)
  gap_end = Sub (angles_and_turn, unit)
  cut = Div (gap_end, pair)"""


# As in csrc/core/math/polar.h, the octant of the angle is mirrored onto [0, pi / 4], and a far
# centre is brought nearer so that no square overflows (a non-finite centre becomes NaN). Values are
# [G, 1, h, w], or broadcast to that.
_TO_POLAR = f"""
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


OP = Operator(
    name="PolarUnresample",
    doc="The Cartesian image of a polar one: the inverse of PolarResample",
    inputs=(("src", "S"), ("centre", F32_TENSOR)),
    attributes=POLAR,
    referenced=("scale", "offset"),
    body=body,
    takes_bytes=True,
    shape=grid_shape,
    multiply_adds=all_corners,
    coordinates=("centre",),
    features=("src",),
    sampled="src",
)
