"""What the bodies of `cineflow::PolarResample` and `cineflow::PolarUnresample` share.

All that the attributes alone decide (the rays' directions, the radii) is computed in double
precision and stored as constants. The rest depends on the centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cineflow.export.ops._operator import Attribute, InputShapes, Shape
from cineflow.export.ops._text import F32, result

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
    """[N, C, rows, columns]."""
    return (*shapes["src"][:2], attributes["rows"], attributes["columns"])


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


def finish(grid: PolarGrid, from_bytes: bool) -> str:
    """`out` [N, C, rows, columns]: offset + scale * `sampled`."""
    return f"""
  size_out = Constant <value = int64[2] {{{grid.rows}, {grid.columns}}}> ()
  shape_out = Concat <axis: int = 0> (frames, channels, size_out)
  unfolded = Reshape <allowzero: int = 1> (sampled, shape_out)
  factor = Constant <value_float: float = @scale> ()
  addend = Constant <value_float: float = @offset> ()
  scaled = Mul (unfolded, factor)
  out_f32 = Add (scaled, addend)
  {result("src", from_bytes)}"""
