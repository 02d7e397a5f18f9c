"""`cineflow::PolarResample`: src(c + rho_j (cos phi_i, sin phi_i)), an image along rays."""

from __future__ import annotations

import math
from typing import Any

from cineflow.export.ops._operator import F32_TENSOR, Operator
from cineflow.export.ops._polar import POLAR, PolarGrid, finish, grid_shape, groups
from cineflow.export.ops._sample import all_corners, sample
from cineflow.export.ops._text import constant, function


def body(*, from_bytes: bool = False, **attributes: Any) -> str:
    """The ONNX function.

    Args:
        from_bytes: Whether `src` is u8; the result is then f32, else of the type of `src`.
        **attributes: The fields of `PolarGrid`.
    """
    grid = PolarGrid(**attributes)
    angles = [grid.first_angle + row * grid.angle_step for row in range(grid.rows)]
    radii = [grid.first_radius + column * grid.radius_step for column in range(grid.columns)]
    return function(
        "PolarResample",
        "src, centre",
        f"""
  {constant("cosine", f"[1, 1, {grid.rows}, 1]", map(math.cos, angles))}
  {constant("sine", f"[1, 1, {grid.rows}, 1]", map(math.sin, angles))}
  {constant("radius", f"[1, 1, 1, {grid.columns}]", radii)}
  {groups()}
  x_from_centre = Mul (radius, cosine)
  y_from_centre = Mul (radius, sine)
  x = Add (x_from_centre, centre_x)
  y = Add (y_from_centre, centre_y)
  {sample("planes", grid.border, "sampled")}
  {finish(grid, from_bytes)}""",
    )


OP = Operator(
    name="PolarResample",
    doc="out(i, j) = offset + scale src(centre + radius_j (cos angle_i, sin angle_i))",
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
