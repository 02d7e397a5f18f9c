"""The standard-operator bodies of our ops, in ONNX's text form (opset 20).

They mirror the kernels' rules: coordinates in pixels and f32, pixel centres at integers, a
non-finite coordinate contributes 0, a huge finite one is plainly outside.
"""

from __future__ import annotations

OPSET = 20

#: Integer constant of ONNX for f32, in Cast nodes.
_F32 = 1


def warp(border: str) -> str:
    """Body of `cineflow::Warp`.

    GridSample takes coordinates that are normalised with half-pixel edges (`align_corners = 0`):
    pixel x of W lies at (2x + 1) / W - 1. That form is exact at both borders, and ONNX Runtime has
    a faster path for it than for the other. `flow` may be of another size than `src`.

    Every comparison with NaN is false, so `Where(|g| < far, g, far)` sends NaN, infinite and huge
    coordinates to one point that is outside for every size.

    Args:
        border: "zeros" (an outside corner counts 0) or "clamp" (it takes the nearest edge pixel).
    """
    guard = {"zeros": _GUARD_ZEROS, "clamp": _GUARD_CLAMP}[border]
    return f"""
<opset_import: ["" : {OPSET}], domain: "cineflow">
Warp (src, flow) => (out) {{
  int_0 = Constant <value = int64 {{0}}> ()
  int_1 = Constant <value = int64 {{1}}> ()
  last = Constant <value = int64[1] {{-1}}> ()
  first = Constant <value = int64[1] {{0}}> ()
  half = Constant <value = float {{0.5}}> ()
  one = Constant <value = float {{1.0}}> ()
  two = Constant <value = float {{2.0}}> ()
  far = Constant <value = float {{4.0}}> ()
  src_height_i = Shape <start: int = 2, end: int = 3> (src)
  src_width_i = Shape <start: int = 3, end: int = 4> (src)
  src_height = Cast <to: int = {_F32}> (src_height_i)
  src_width = Cast <to: int = {_F32}> (src_width_i)
  height_1 = Shape <start: int = 2, end: int = 3> (flow)
  width_1 = Shape <start: int = 3, end: int = 4> (flow)
  height = Squeeze (height_1, first)
  width = Squeeze (width_1, first)
  row_i = Range (int_0, height, int_1)
  column_i = Range (int_0, width, int_1)
  row_f = Cast <to: int = {_F32}> (row_i)
  column = Cast <to: int = {_F32}> (column_i)
  row = Unsqueeze (row_f, last)
  flow_x, flow_y = Split <axis: int = 1, num_outputs: int = 2> (flow)
  x = Add (flow_x, column)
  y = Add (flow_y, row)
  {guard}
  grid = Transpose <perm: ints = [0, 2, 3, 1]> (safe)
  src_f32 = Cast <to: int = {_F32}> (src)
  out_f32 = GridSample <mode: string = "linear", padding_mode: string = "zeros",
                        align_corners: int = 0> (src_f32, grid)
  out = CastLike (out_f32, src)
}}
"""


_NORMALISE = """
  kx = Div (two, src_width)
  ky = Div (two, src_height)
  {x}h = Add ({x}, half)
  {y}h = Add ({y}, half)
  gx_1 = Mul ({x}h, kx)
  gy_1 = Mul ({y}h, ky)
  gx = Sub (gx_1, one)
  gy = Sub (gy_1, one)
  raw = Concat <axis: int = 1> (gx, gy)
"""

_GUARD_ZEROS = (
    _NORMALISE.format(x="x", y="y")
    + """
  size = Abs (raw)
  near = Less (size, far)
  safe = Where (near, raw, far)
"""
)

# Finite coordinates are pulled to the edge pixels first; then only non-finite ones are "far".
_GUARD_CLAMP = (
    """
  zero = Constant <value = float {0.0}> ()
  largest = Constant <value = float {3.4028235e38}> ()
  right = Sub (src_width, one)
  bottom = Sub (src_height, one)
  x_low = Max (x, zero)
  y_low = Max (y, zero)
  x_in = Min (x_low, right)
  y_in = Min (y_low, bottom)
"""
    + _NORMALISE.format(x="x_in", y="y_in")
    + """
  position = Concat <axis: int = 1> (x, y)
  size = Abs (position)
  finite = LessOrEqual (size, largest)
  safe = Where (finite, raw, far)
"""
)
