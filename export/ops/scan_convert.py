"""`cineflow::ScanConvert`: the lines of a probe to a Cartesian image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cineflow.export.ops._operator import Attribute, Operator
from cineflow.export.ops._polar import finish, grid_shape, positions, sector
from cineflow.export.ops._sample import all_corners, sample
from cineflow.export.ops._text import F32, constant, function, pixels

_ATTRIBUTES: dict[str, Attribute] = {
    "rows": int,
    "columns": int,
    "apex_x": 0.0,
    "apex_y": 0.0,
    "first_angle": 0.0,
    "angle_step": float,
    "first_radius": 0.0,
    "radius_step": 1.0,
    "scale": 1.0,
    "offset": 0.0,
    "to_bytes": 0,
}

# Beyond this part of a step the sector ends: csrc/core/math/polar.h.
_EDGE = 1 / 1024


@dataclass(frozen=True)
class _Lines:
    """The attributes that the body is written for, as in `csrc/core/include/cineflow`.

    Raises:
        ValueError: The kernels refuse this attribute as well (csrc/core/check/scan_convert.cpp).
    """

    rows: int
    columns: int
    apex_x: float
    apex_y: float
    first_angle: float
    angle_step: float
    first_radius: float
    radius_step: float

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"rows {self.rows}, columns {self.columns}")
        if not (1e-7 <= abs(self.angle_step) <= 7 and 1e-7 <= self.radius_step <= 1e6):
            raise ValueError(f"angle_step {self.angle_step}, radius_step {self.radius_step}")
        if not (0 <= self.first_radius <= 1e6 and abs(self.first_angle) <= 1e6):
            raise ValueError(f"first_radius {self.first_radius}, first_angle {self.first_angle}")
        if not max(abs(self.apex_x), abs(self.apex_y)) <= 1e6:
            raise ValueError(f"apex_x {self.apex_x}, apex_y {self.apex_y}")


def body(*, from_bytes: bool = False, to_bytes: int = 0, **attributes: Any) -> str:
    """The ONNX function.

    All N C planes are one image, so that its coordinates are computed once. A position beyond the
    first or last line or sample is moved far outside, where GridSample gives 0.

    Args:
        from_bytes: Whether `src` is u8; the result is then f32, else of the type of `src`.
        to_bytes: Whether the result is u8.
        **attributes: The other attributes of the node, without `scale` and `offset`.
    """
    lines = _Lines(**attributes)
    return function(
        "ScanConvert",
        "src",
        f"""
  height = Constant <value = int64[1] {{{lines.rows}}}> ()
  width = Constant <value = int64[1] {{{lines.columns}}}> ()
  {pixels("height", "width")}
  {constant("centre_x", "[1, 1, 1, 1]", [lines.apex_x])}
  {constant("centre_y", "[1, 1, 1, 1]", [lines.apex_y])}
  src_f32 = Cast <to: int = {F32}> (src)
  one_image = Constant <value = int64[1] {{1}}> ()
  frames = Shape <start: int = 0, end: int = 1> (src)
  channels = Shape <start: int = 1, end: int = 2> (src)
  plane_size = Shape <start: int = 2, end: int = 4> (src)
  all_planes = Mul (frames, channels)
  planes_shape = Concat <axis: int = 0> (one_image, all_planes, plane_size)
  planes = Reshape <allowzero: int = 1> (src_f32, planes_shape)
  {positions(lines, sector(lines.angle_step), column="along", row="around")}
  {constant("before_first", "", [-_EDGE])}
  {constant("far_outside", "", [1e9])}
  samples_i = Shape <start: int = 3, end: int = 4> (planes)
  samples = Cast <to: int = {F32}> (samples_i)
  {_cut("along", "samples", "x")}
  {_cut("around", "angles", "y")}
  {sample("polar", "zeros", "sampled")}
  {finish(lines, from_bytes, bool(to_bytes))}""",
    )


def _cut(position: str, size: str, to: str) -> str:
    """`to`: the position on an axis of `size` samples, far outside where it is beyond them."""
    return f"""
  {position}_last = Sub ({size}, unit)
  {position}_end = Sub ({position}_last, before_first)
  {position}_after_first = GreaterOrEqual ({position}, before_first)
  {position}_before_last = LessOrEqual ({position}, {position}_end)
  {position}_inside = And ({position}_after_first, {position}_before_last)
  {position}_not_negative = Max ({position}, zero)
  {position}_on_axis = Min ({position}_not_negative, {position}_last)
  {to} = Where ({position}_inside, {position}_on_axis, far_outside)"""


OP = Operator(
    name="ScanConvert",
    doc="The Cartesian image of the lines of a probe; offset outside of the sector",
    inputs=(("src", "S"),),
    attributes=_ATTRIBUTES,
    referenced=("scale", "offset"),
    body=body,
    takes_bytes=True,
    gives_bytes=True,
    shape=grid_shape,
    multiply_adds=all_corners,
    features=("src",),
    sampled="src",
)
