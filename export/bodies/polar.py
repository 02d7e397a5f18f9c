"""Bodies of `cineflow::PolarResample` and `cineflow::PolarUnresample`.

What the attributes decide alone (the rays' directions, the radii) is computed here in double
precision and stored as constants; the rest depends on the centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cineflow.export.bodies.sample import sample
from cineflow.export.bodies.text import F32, constant, function, pixels, result

_TURN = 2 * math.pi


@dataclass(frozen=True)
class Node:
    """The attributes of a polar node that its body is written for.

    Attributes:
        rows: Angles of a polar result, height of a Cartesian one.
        columns: Radii of a polar result, width of a Cartesian one.
        first_angle: Radians, from x towards y.
        angle_step: Radians.
        first_radius: Pixels.
        radius_step: Pixels.
        wraps: Whether the angles are a full circle; of no meaning to PolarResample.
        border: "zeros" or "clamp"; a full circle has none along its angles.

    Raises:
        ValueError: What the kernels refuse, too (csrc/core/check/polar.cpp).
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


def polar_resample(*, from_bytes: bool = False, **attributes: Any) -> str:
    """Body of `cineflow::PolarResample`: src(c + rho_j (cos phi_i, sin phi_i)).

    Args:
        from_bytes: Whether `src` is u8; the result is f32 then, else of the type of `src`.
        **attributes: Those of `Node`.
    """
    node = Node(**attributes)
    angles = [node.first_angle + row * node.angle_step for row in range(node.rows)]
    radii = [node.first_radius + column * node.radius_step for column in range(node.columns)]
    return function(
        "PolarResample",
        "src, centre",
        f"""
  {constant("cosine", f"[1, 1, {node.rows}, 1]", map(math.cos, angles))}
  {constant("sine", f"[1, 1, {node.rows}, 1]", map(math.sin, angles))}
  {constant("radius", f"[1, 1, 1, {node.columns}]", radii)}
  {_groups()}
  x_from_centre = Mul (radius, cosine)
  y_from_centre = Mul (radius, sine)
  x = Add (x_from_centre, centre_x)
  y = Add (y_from_centre, centre_y)
  {sample("planes", node.border, "sampled")}
  {_finish(node, from_bytes)}""",
    )


def polar_unresample(*, from_bytes: bool = False, **attributes: Any) -> str:
    """Body of `cineflow::PolarUnresample`: src(i(p), j(p)), the inverse of `polar_resample`.

    On a full circle the row after the last angle is the first again: one row is appended. A sector
    is cut in the middle of its gap, so that each side of the gap is nearest to its own edge.

    Args:
        from_bytes: Whether `src` is u8; the result is f32 then, else of the type of `src`.
        **attributes: Those of `Node`; angles and radii are those of `src`.
    """
    node = Node(**attributes)
    first_angle = math.fmod(math.fmod(node.first_angle, _TURN) + _TURN, _TURN)
    return function(
        "PolarUnresample",
        "src, centre",
        f"""
  height = Constant <value = int64[1] {{{node.rows}}}> ()
  width = Constant <value = int64[1] {{{node.columns}}}> ()
  {pixels("height", "width")}
  {_groups()}
  {_TO_POLAR}
  {constant("first_radius", "", [node.first_radius])}
  {constant("radii_per_pixel", "", [1 / node.radius_step])}
  beyond_first = Sub (distance, first_radius)
  x = Mul (beyond_first, radii_per_pixel)

  {constant("first_angle", "", [first_angle])}
  {constant("angles_per_radian", "", [1 / node.angle_step])}
  {_CIRCLE if node.wraps else _sector(node)}
  from_first = Sub (angle, first_angle)
  turned = Mul (from_first, angles_per_radian)
  turned_on = Add (turned, turn)
  turned_back = Less (turned, zero)
  forward = Where (turned_back, turned_on, turned)
  forward_less = Sub (forward, turn)
  past_cut = Greater (forward, cut)
  y = Where (past_cut, forward_less, forward)
  {sample("polar", node.border, "sampled")}
  {_finish(node, from_bytes)}""",
    )


# `polar` is what is sampled, `turn` the samples of a full circle, and those beyond `cut` are
# counted back from the first.
_CIRCLE = f"""
  first_row = Slice (planes, slice_0, slice_1, slice_2)
  polar = Concat <axis: int = 2> (planes, first_row)
  angles_i = Shape <start: int = 2, end: int = 3> (planes)
  turn = Cast <to: int = {F32}> (angles_i)
  cut = Identity (turn)"""


def _sector(node: Node) -> str:
    return f"""
  polar = Identity (planes)
  angles_i = Shape <start: int = 2, end: int = 3> (planes)
  angles = Cast <to: int = {F32}> (angles_i)
  {constant("turn", "", [_TURN / abs(node.angle_step)])}
  {constant("pair", "", [2])}
  angles_and_turn = Add (angles, turn)
  gap_end = Sub (angles_and_turn, unit)
  cut = Div (gap_end, pair)"""


# The octant that the angle lies in is mirrored onto [0, pi / 4], and a far centre is brought nearer
# so that no square overflows (one that is not finite becomes NaN), both as in
# csrc/core/math/polar.h. Values are [G, 1, h, w], or broadcast to that.
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


def _groups() -> str:
    """`planes` f32 [G, P, H, W] and `centre_x`, `centre_y` [G, 1, 1, 1] from `src` and `centre`.

    G is the number of centres: one that serves all N frames makes their N C planes one image, so
    that its coordinates are computed once. Any other number than 1 or N does not reshape.
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


def _finish(node: Node, from_bytes: bool) -> str:
    """`out` [N, C, rows, columns]: offset + scale * `sampled`."""
    return f"""
  size_out = Constant <value = int64[2] {{{node.rows}, {node.columns}}}> ()
  shape_out = Concat <axis: int = 0> (frames, channels, size_out)
  unfolded = Reshape <allowzero: int = 1> (sampled, shape_out)
  factor = Constant <value_float: float = @scale> ()
  addend = Constant <value_float: float = @offset> ()
  scaled = Mul (unfolded, factor)
  out_f32 = Add (scaled, addend)
  {result("src", from_bytes)}"""
