"""Bilinear sampling at pixel positions with GridSample."""

from __future__ import annotations

from cineflow.export.bodies.text import F32


def sample(source: str, border: str, to: str) -> str:
    """`to` [N, C, h, w] f32: `source` [N, C, H, W] at columns `x`, rows `y` [N, 1, h, w].

    GridSample takes coordinates that are normalised with half-pixel edges (`align_corners = 0`):
    pixel x of W lies at (2x + 1) / W - 1. That form is exact at both borders, and ONNX Runtime has
    a faster path for it than for the other. The source is cast to f32: TensorRT wants it and the
    grid of one type, and a half-precision grid would be 0.03 px off.

    Every comparison with NaN is false, so `Where(|g| < far, g, far)` sends NaN, infinite and huge
    coordinates to one point that is outside for every size.

    Args:
        source: Name of the value to sample, any element type.
        border: "zeros" (an outside corner counts 0) or "clamp" (it takes the nearest edge pixel).
        to: Name of the result.
    """
    guarded = {"zeros": _ZEROS, "clamp": _CLAMP}[border]
    return f"""
  f_half = Constant <value = float {{0.5}}> ()
  f_1 = Constant <value = float {{1.0}}> ()
  f_2 = Constant <value = float {{2.0}}> ()
  f_far = Constant <value = float {{4.0}}> ()
  source_height_i = Shape <start: int = 2, end: int = 3> ({source})
  source_width_i = Shape <start: int = 3, end: int = 4> ({source})
  source_height = Cast <to: int = {F32}> (source_height_i)
  source_width = Cast <to: int = {F32}> (source_width_i)
  {guarded}
  grid = Transpose <perm: ints = [0, 2, 3, 1]> (safe)
  source_f32 = Cast <to: int = {F32}> ({source})
  {to} = GridSample <mode: string = "linear", padding_mode: string = "zeros",
                     align_corners: int = 0> (source_f32, grid)"""


_NORMALISE = """
  across = Div (f_2, source_width)
  down = Div (f_2, source_height)
  {x}_from_edge = Add ({x}, f_half)
  {y}_from_edge = Add ({y}, f_half)
  x_share = Mul ({x}_from_edge, across)
  y_share = Mul ({y}_from_edge, down)
  x_norm = Sub (x_share, f_1)
  y_norm = Sub (y_share, f_1)
  raw = Concat <axis: int = 1> (x_norm, y_norm)"""

_ZEROS = f"""{_NORMALISE.format(x="x", y="y")}
  size = Abs (raw)
  near = Less (size, f_far)
  safe = Where (near, raw, f_far)"""

# Finite coordinates are pulled to the edge pixels first; then only non-finite ones are "far".
_CLAMP = f"""
  f_0 = Constant <value = float {{0.0}}> ()
  largest = Constant <value = float {{3.4028235e38}}> ()
  right_edge = Sub (source_width, f_1)
  bottom_edge = Sub (source_height, f_1)
  x_low = Max (x, f_0)
  y_low = Max (y, f_0)
  x_in = Min (x_low, right_edge)
  y_in = Min (y_low, bottom_edge)
  {_NORMALISE.format(x="x_in", y="y_in")}
  position = Concat <axis: int = 1> (x, y)
  size = Abs (position)
  finite = LessOrEqual (size, largest)
  safe = Where (finite, raw, f_far)"""
