"""`cineflow::ScanConvert`: the lines of a probe to a Cartesian image or volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cineflow.export.ops._operator import Attribute, Operator
from cineflow.export.ops._polar import TO_POLAR, around, finish, grid_shape, positions, sector
from cineflow.export.ops._sample import all_corners, sample
from cineflow.export.ops._text import F32, constant, function, pixels, prefixed, voxels

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
    "slices": 0,
    "axis_y": 0.0,
    "axis_z": 0.0,
    "first_tilt": 0.0,
    "tilt_step": 1.0,
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
    slices: int
    axis_y: float
    axis_z: float
    first_tilt: float
    tilt_step: float

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or self.slices < 0:
            raise ValueError(f"rows {self.rows}, columns {self.columns}, slices {self.slices}")
        for name in ("angle_step", "tilt_step"):
            if not 1e-7 <= abs(getattr(self, name)) <= 7:
                raise ValueError(f"{name} {getattr(self, name)}")
        if not (1e-7 <= self.radius_step <= 1e6 and 0 <= self.first_radius <= 1e6):
            raise ValueError(f"first_radius {self.first_radius}, radius_step {self.radius_step}")
        for name in ("apex_x", "apex_y", "axis_y", "axis_z", "first_angle", "first_tilt"):
            if not abs(getattr(self, name)) <= 1e6:
                raise ValueError(f"{name} {getattr(self, name)}")


def body(*, from_bytes: bool = False, to_bytes: int = 0, axes: int = 2, **attributes: Any) -> str:
    """The ONNX function.

    All N C planes are one image or volume, so that its coordinates are computed once. A position
    beyond the first or last line, sample or plane is moved far outside, where GridSample gives 0.

    Args:
        from_bytes: Whether `src` is u8; the result is then f32, else of the type of `src`.
        to_bytes: Whether the result is u8.
        axes: 2 for images, 3 for volumes.
        **attributes: The other attributes of the node, without `scale` and `offset`.
    """
    lines = _Lines(**attributes)
    return function(
        "ScanConvert",
        "src",
        f"""
  height = Constant <value = int64[1] {{{lines.rows}}}> ()
  width = Constant <value = int64[1] {{{lines.columns}}}> ()
  src_f32 = Cast <to: int = {F32}> (src)
  one_image = Constant <value = int64[1] {{1}}> ()
  frames = Shape <start: int = 0, end: int = 1> (src)
  channels = Shape <start: int = 1, end: int = 2> (src)
  plane_size = Shape <start: int = 2, end: int = {2 + axes}> (src)
  all_planes = Mul (frames, channels)
  planes_shape = Concat <axis: int = 0> (one_image, all_planes, plane_size)
  planes = Reshape <allowzero: int = 1> (src_f32, planes_shape)
  {constant("centre_x", "[1, 1, 1, 1]", [lines.apex_x])}
  {constant("before_first", "", [-_EDGE])}
  {constant("far_outside", "", [1e9])}
  {_in_volume(lines) if axes == 3 else _in_image(lines)}
  {sample("planes", "zeros", "sampled", axes=axes)}
  {finish(lines, from_bytes, bool(to_bytes), [lines.slices] if axes == 3 else ())}""",
    )


def _in_image(lines: _Lines) -> str:
    """Columns `x` and rows `y` of the lines, [1, 1, h, w]."""
    return f"""
  {pixels("height", "width")}
  {constant("centre_y", "[1, 1, 1, 1]", [lines.apex_y])}
  {positions(lines, sector(lines.angle_step), column="along", row="around")}
  {_size("samples", 3)}
  {_cut("along", "samples", "x")}
  {_cut("around", "angles", "y")}"""


def _in_volume(lines: _Lines) -> str:
    """Columns `x`, rows `y` and planes `z` of the lines, [1, 1, d, h, w].

    The tilt and the depth in the tilted plane are those of a polar image around the axis, whose
    columns are the rows of the volume and whose rows are its slices.
    """
    tilted = f"""
  {TO_POLAR}
  {around(lines.first_tilt, lines.tilt_step, sector(lines.tilt_step, axis=2), "between")}"""
    about = {"column": "line", "row": "slice_", "centre_x": "axis_y", "centre_y": "axis_z"}
    return f"""
  depth = Constant <value = int64[1] {{{lines.slices}}}> ()
  {voxels("depth", "height", "width", slice_="slice_", row="line", column="column")}
  {constant("axis_y", "[1, 1, 1, 1, 1]", [lines.axis_y])}
  {constant("axis_z", "[1, 1, 1, 1, 1]", [lines.axis_z])}
  {prefixed(tilted, "tilt_", about)}
  {constant("axis_to_apex", "", [lines.axis_y - lines.apex_y])}
  row = Add (tilt_distance, axis_to_apex)
  {constant("centre_y", "[1, 1, 1, 1]", [0.0])}
  {positions(lines, sector(lines.angle_step, axis=3), column="along", row="around")}
  {_size("samples", 4)}
  {_cut("along", "samples", "x")}
  {_cut("around", "angles", "y")}
  {_cut("tilt_between", "tilt_angles", "z_of_row")}
  every_voxel = Shape (x)
  z = Expand (z_of_row, every_voxel)"""


def _size(name: str, axis: int) -> str:
    """`name` f32: the size of `planes` along an axis."""
    return f"""
  {name}_i = Shape <start: int = {axis}, end: int = {axis + 1}> (planes)
  {name} = Cast <to: int = {F32}> ({name}_i)"""


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
    doc="The Cartesian image or volume of a probe's lines; offset outside of the sector",
    inputs=(("src", "S"),),
    attributes=_ATTRIBUTES,
    referenced=("scale", "offset"),
    body=body,
    takes_bytes=True,
    gives_bytes=True,
    takes_volumes=True,
    shape=grid_shape,
    multiply_adds=all_corners,
    features=("src",),
    sampled="src",
)
