"""`cineflow::PolarUnresample`: src(i(p), j(p)), the inverse of PolarResample."""

from __future__ import annotations

from typing import Any

from cineflow.export.ops._operator import F32_TENSOR, Operator
from cineflow.export.ops._polar import (
    POLAR,
    PolarGrid,
    finish,
    grid_shape,
    groups,
    positions,
    sector,
)
from cineflow.export.ops._sample import all_corners, sample
from cineflow.export.ops._text import F32, function, pixels


def body(*, from_bytes: bool = False, **attributes: Any) -> str:
    """The ONNX function.

    On a full circle the row after the last angle is the first row again, so one row is appended. A
    sector is cut in the middle of its gap, so that each side of the gap is nearest to its own edge.

    Args:
        from_bytes: Whether `src` is u8; the result is then f32, else of the type of `src`.
        **attributes: The fields of `PolarGrid`; angles and radii are those of `src`.
    """
    grid = PolarGrid(**attributes)
    return function(
        "PolarUnresample",
        "src, centre",
        f"""
  height = Constant <value = int64[1] {{{grid.rows}}}> ()
  width = Constant <value = int64[1] {{{grid.columns}}}> ()
  {pixels("height", "width")}
  {groups()}
  {positions(grid, _CIRCLE if grid.wraps else _SECTOR + sector(grid.angle_step))}
  {sample("polar", grid.border, "sampled")}
  {finish(grid, from_bytes)}""",
    )


# `polar` is the sampled image. `turn` and `cut` are as in `around`.
_CIRCLE = f"""
  first_row = Slice (planes, slice_0, slice_1, slice_2)
  polar = Concat <axis: int = 2> (planes, first_row)
  angles_i = Shape <start: int = 2, end: int = 3> (planes)
  turn = Cast <to: int = {F32}> (angles_i)
  cut = Identity (turn)"""


_SECTOR = "polar = Identity (planes)"


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
