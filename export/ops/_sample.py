"""Bilinear sampling at pixel positions with GridSample."""

from __future__ import annotations

import math

from cineflow.export.ops._operator import Attribute, InputShapes, Shape
from cineflow.export.ops._text import F32, pixels

#: What to do at the border of the sampled image: "zeros" or "clamp".
BORDER: dict[str, Attribute] = {"border": "zeros"}


def four_corners(shapes: InputShapes, out: Shape) -> int:
    """Multiply-adds of a bilinear result: four per value."""
    return 4 * math.prod(out)


def sample_along(flow: str, source: str, border: str, to: str) -> str:
    """`to` [N, C, h, w] f32: `source` at each pixel of the grid of `flow`, moved by `flow`."""
    return f"""
  flow_height = Shape <start: int = 2, end: int = 3> ({flow})
  flow_width = Shape <start: int = 3, end: int = 4> ({flow})
  {pixels("flow_height", "flow_width", row="y", column="x")}
  {sample(source, border, to, moved_by=flow)}"""


def sample(source: str, border: str, to: str, *, moved_by: str = "") -> str:
    """`to` [N, C, h, w] f32: `source` [N, C, H, W] at columns `x`, rows `y`.

    GridSample takes coordinates that are normalised with half-pixel edges (`align_corners = 0`):
    pixel x of W lies at (2x + 1) / W - 1. This form is exact at both borders, and ONNX Runtime runs
    it faster than `align_corners = 1`. The source is cast to f32: TensorRT requires the same type
    for source and grid, and a half-precision grid would be 0.03 px off.

    The mode stays unnamed: linear is the default of opset 20, and TensorRT-RTX before 1.6 and
    TensorRT 10 read the named form as nearest.

    Every comparison with NaN is false, so `Where(|g| < far, g, far)` sends NaN, infinite and huge
    coordinates to one point that is outside for every size.

    Args:
        source: Name of the value to sample, any element type.
        border: "zeros" (an outside corner counts 0) or "clamp" (it takes the nearest edge pixel).
        to: Name of the result.
        moved_by: Name of a flow [N, 2, h, w] that moves a pixel grid, `x` [w] and `y` [h, 1]. Only
            these two vectors are then normalised, and the flow is scaled. Without it, `x` and `y`
            are [N, 1, h, w].
    """
    guarded = {"zeros": _ZEROS, "clamp": _clamp(moved_by or "position")}[border]
    return f"""
  f_half = Constant <value = float {{0.5}}> ()
  f_1 = Constant <value = float {{1.0}}> ()
  f_2 = Constant <value = float {{2.0}}> ()
  f_far = Constant <value = float {{4.0}}> ()
  source_height_i = Shape <start: int = 2, end: int = 3> ({source})
  source_width_i = Shape <start: int = 3, end: int = 4> ({source})
  source_height = Cast <to: int = {F32}> (source_height_i)
  source_width = Cast <to: int = {F32}> (source_width_i)
  across = Div (f_2, source_width)
  down = Div (f_2, source_height)
  x_from_edge = Add (x, f_half)
  y_from_edge = Add (y, f_half)
  x_share = Mul (x_from_edge, across)
  y_share = Mul (y_from_edge, down)
  x_norm = Sub (x_share, f_1)
  y_norm = Sub (y_share, f_1)
  {_moved(moved_by) if moved_by else _AS_THEY_ARE}
  {guarded}
  grid = Transpose <perm: ints = [0, 2, 3, 1]> (safe)
  source_f32 = Cast <to: int = {F32}> ({source})
  {to} = GridSample <padding_mode: string = "zeros", align_corners: int = 0> (source_f32, grid)"""


_AS_THEY_ARE = """
  raw = Concat <axis: int = 1> (x_norm, y_norm)
  position = Concat <axis: int = 1> (x, y)"""


def _moved(flow: str) -> str:
    return f"""
  {_by_axis("shares", "across", "down")}
  flow_share = Mul ({flow}, shares)
  flow_x, flow_y = Split <axis: int = 1, num_outputs: int = 2> (flow_share)
  x_moved = Add (flow_x, x_norm)
  y_moved = Add (flow_y, y_norm)
  raw = Concat <axis: int = 1> (x_moved, y_moved)"""


def _by_axis(name: str, x: str, y: str) -> str:
    """`name` [1, 2, 1, 1] from two values [1]."""
    return f"""
  {name}_in_line = Concat <axis: int = 0> ({x}, {y})
  {name}_axes = Constant <value = int64[3] {{0, 2, 3}}> ()
  {name} = Unsqueeze ({name}_in_line, {name}_axes)"""


_ZEROS = """
  size = Abs (raw)
  near = Less (size, f_far)
  safe = Where (near, raw, f_far)"""


def _clamp(position: str) -> str:
    """Finite coordinates are clamped to the edge pixels; only non-finite ones become "far".

    The test for finite reads the pixel coordinate: a huge one may be infinite once normalised.
    """
    return f"""
  largest = Constant <value = float {{3.4028235e38}}> ()
  half_across = Div (f_1, source_width)
  half_down = Div (f_1, source_height)
  first_x = Sub (half_across, f_1)
  first_y = Sub (half_down, f_1)
  last_x = Sub (f_1, half_across)
  last_y = Sub (f_1, half_down)
  {_by_axis("first", "first_x", "first_y")}
  {_by_axis("last", "last_x", "last_y")}
  not_before = Max (raw, first)
  inside = Min (not_before, last)
  size = Abs ({position})
  finite = LessOrEqual (size, largest)
  safe = Where (finite, inside, f_far)"""
