"""Standard-operator forms of the warp that were tried, border "zeros", finite flow.

Each is the nodes of an ONNX graph from src [N, C, H, W] and flow [N, 2, H, W] to out. The exporter
uses `half_pixel` with its guard (cineflow.export.bodies), which is timed as it is exported, the
cast of its result included, which ONNX Runtime removes inside a graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.export.forms import size_in_tensorrt, time_forms
from cineflow.export.bodies import warp

#: C, H, W: the tracker's finest level, and features of flow_pwc at 256 x 256.
SIZES = ((96, 16, 16), (64, 32, 32), (32, 64, 64), (1, 256, 256))

USED = "half pixel (used)"

_POSITIONS = """
  height = Shape <start: int = 2, end: int = 3> (src)
  width = Shape <start: int = 3, end: int = 4> (src)
  only = Constant <value = int64[1] {0}> ()
  last = Constant <value = int64[1] {-1}> ()
  int_0 = Constant <value = int64 {0}> ()
  int_1 = Constant <value = int64 {1}> ()
  rows = Squeeze (height, only)
  columns = Squeeze (width, only)
  row_i = Range (int_0, rows, int_1)
  column_i = Range (int_0, columns, int_1)
  row_f = Cast <to: int = 1> (row_i)
  column = Cast <to: int = 1> (column_i)
  row = Unsqueeze (row_f, last)
  flow_x, flow_y = Split <axis: int = 1, num_outputs: int = 2> (flow)
  x = Add (flow_x, column)
  y = Add (flow_y, row)
  height_f = Cast <to: int = 1> (height)
  width_f = Cast <to: int = 1> (width)
  one = Constant <value = float {1.0}> ()
  right = Sub (width_f, one)
  bottom = Sub (height_f, one)"""

#: GridSample with align_corners = 1: pixel x of W lies at 2 x / (W - 1) - 1.
WHOLE_PIXEL = f"""{_POSITIONS}
  two = Constant <value = float {{2.0}}> ()
  kx = Div (two, right)
  ky = Div (two, bottom)
  gx_1 = Mul (x, kx)
  gy_1 = Mul (y, ky)
  gx = Sub (gx_1, one)
  gy = Sub (gy_1, one)
  both = Concat <axis: int = 1> (gx, gy)
  grid = Transpose <perm: ints = [0,2,3,1]> (both)
  out = GridSample <mode: string = "linear", padding_mode: string = "zeros",
                    align_corners: int = 1> (src, grid)"""


#: As used, but both coordinates in one tensor, and the grid of zero flow worked out beforehand.
FOLDED = """
  height = Shape <start: int = 2, end: int = 3> (flow)
  width = Shape <start: int = 3, end: int = 4> (flow)
  src_height_i = Shape <start: int = 2, end: int = 3> (src)
  src_width_i = Shape <start: int = 3, end: int = 4> (src)
  only = Constant <value = int64[1] {0}> ()
  last = Constant <value = int64[1] {-1}> ()
  int_0 = Constant <value = int64 {0}> ()
  int_1 = Constant <value = int64 {1}> ()
  rows = Squeeze (height, only)
  columns = Squeeze (width, only)
  row_i = Range (int_0, rows, int_1)
  column_i = Range (int_0, columns, int_1)
  row_f = Cast <to: int = 1> (row_i)
  column = Cast <to: int = 1> (column_i)
  row = Unsqueeze (row_f, last)
  ones = Constant <value = int64[2] {1, 1}> ()
  full = Concat <axis: int = 0> (ones, height, width)
  every_x = Expand (column, full)
  every_y = Expand (row, full)
  here = Concat <axis: int = 1> (every_x, every_y)
  src_height = Cast <to: int = 1> (src_height_i)
  src_width = Cast <to: int = 1> (src_width_i)
  two = Constant <value = float {2.0}> ()
  half = Constant <value = float {0.5}> ()
  one = Constant <value = float {1.0}> ()
  far = Constant <value = float {4.0}> ()
  across = Div (two, src_width)
  down = Div (two, src_height)
  step_1 = Concat <axis: int = 0> (across, down)
  step_shape = Constant <value = int64[4] {1, 2, 1, 1}> ()
  step = Reshape (step_1, step_shape)
  from_edge = Add (here, half)
  share = Mul (from_edge, step)
  at_rest = Sub (share, one)
  moved = Mul (flow, step)
  raw = Add (moved, at_rest)
  size = Abs (raw)
  near = Less (size, far)
  safe = Where (near, raw, far)
  grid = Transpose <perm: ints = [0,2,3,1]> (safe)
  out = GridSample <mode: string = "linear", padding_mode: string = "zeros",
                    align_corners: int = 0> (src, grid)"""


def gathers() -> str:
    """Four gathers and their weights; an outside corner has weight 0."""
    corners = []
    for dy in (0, 1):
        for dx in (0, 1):
            k = f"{dy}{dx}"
            corners.append(f"""
  cx_{k} = {"Identity (x0)" if dx == 0 else "Add (x0, one)"}
  cy_{k} = {"Identity (y0)" if dy == 0 else "Add (y0, one)"}
  wx_{k} = {"Sub (one, fx)" if dx == 0 else "Identity (fx)"}
  wy_{k} = {"Sub (one, fy)" if dy == 0 else "Identity (fy)"}
  inx_{k} = Clip (cx_{k}, zero, right_s)
  iny_{k} = Clip (cy_{k}, zero, bottom_s)
  samex_{k} = Equal (inx_{k}, cx_{k})
  samey_{k} = Equal (iny_{k}, cy_{k})
  inside_{k} = And (samex_{k}, samey_{k})
  weight_1_{k} = Mul (wx_{k}, wy_{k})
  weight_{k} = Where (inside_{k}, weight_1_{k}, zero)
  line_{k} = Mul (iny_{k}, width_f)
  at_f_{k} = Add (line_{k}, inx_{k})
  at_1_{k} = Cast <to: int = 7> (at_f_{k})
  at_2_{k} = Reshape (at_1_{k}, index_shape)
  at_{k} = Expand (at_2_{k}, index_full)
  value_1_{k} = GatherElements <axis: int = 2> (flat, at_{k})
  value_{k} = Reshape (value_1_{k}, out_shape)
  part_{k} = Mul (value_{k}, weight_{k})""")
    return f"""{_POSITIONS}
  zero = Constant <value = float {{0.0}}> ()
  right_s = Squeeze (right, only)
  bottom_s = Squeeze (bottom, only)
  x0 = Floor (x)
  y0 = Floor (y)
  fx = Sub (x, x0)
  fy = Sub (y, y0)
  batch = Shape <start: int = 0, end: int = 1> (src)
  channels = Shape <start: int = 1, end: int = 2> (src)
  pixels = Mul (height, width)
  one_i = Constant <value = int64[1] {{1}}> ()
  flat_shape = Concat <axis: int = 0> (batch, channels, pixels)
  flat = Reshape (src, flat_shape)
  index_shape = Concat <axis: int = 0> (batch, one_i, pixels)
  index_full = Concat <axis: int = 0> (batch, channels, pixels)
  out_shape = Concat <axis: int = 0> (batch, channels, height, width)
  {"".join(corners)}
  out = Sum (part_00, part_01, part_10, part_11)"""


def half_pixel() -> str:
    """What the exporter writes: align_corners = 0, guarded."""
    return warp("zeros").partition("{")[2].rpartition("}")[0]


FORMS = {"whole pixel": WHOLE_PIXEL, "folded": FOLDED, "gathers": gathers(), USED: half_pixel()}


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Every form at every size, and what TensorRT-RTX makes of each at the last."""
    table = {}
    for shape in SIZES:
        random = np.random.default_rng(0)
        inputs = {
            "src": random.normal(size=(1, *shape)).astype(np.float32),
            "flow": random.normal(0, 3, (1, 2, *shape[1:])).astype(np.float32),
        }
        times = time_forms(FORMS, inputs, tolerance=1e-3, rounds=rounds)
        fastest = min(taken.best for taken in times.values())
        row: dict[str, Any] = {
            "ms": {name: taken.to_dict() for name, taken in times.items()},
            "used_over_fastest": round(times[USED].best / fastest, 3),
        }
        if shape == SIZES[-1]:
            row["tensorrt_rtx"] = {n: size_in_tensorrt(text, inputs) for n, text in FORMS.items()}
        table[" x ".join(map(str, shape))] = row
    return table
