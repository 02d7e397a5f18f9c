"""Standard-operator forms of the warp that were tried, border "zeros".

Each is the nodes of an ONNX graph from src [N, C, H, W] and flow [N, 2, H, W] to out, and returns 0
for coordinates that are not finite or huge. The exporter uses cineflow.export.ops.warp; the others
are kept so that the choice can be measured again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.export.forms import measure_forms, nodes_of
from cineflow.export.ops import warp
from cineflow.export.ops._text import pixels

#: C, H, W: features of flow_pwc at 256 x 256, and the tracker's finest level.
SIZES = ((96, 16, 16), (64, 32, 32), (32, 64, 64), (1, 256, 256))

USED = "grid as vectors (used)"

#: Timed only: the warp's body must be GridSample, one operator that every runtime has a kernel for.
NOT_JUDGED = ("gathers",)

#: Flows whose samples must count as outside.
BAD = (np.nan, np.inf, -np.inf, 1e20, -1e20, 3e38)

_GRID = f"""
  height = Shape <start: int = 2, end: int = 3> (flow)
  width = Shape <start: int = 3, end: int = 4> (flow)
  {pixels("height", "width")}
  one = Constant <value = float {{1.0}}> ()
  two = Constant <value = float {{2.0}}> ()
  half = Constant <value = float {{0.5}}> ()
  far = Constant <value = float {{4.0}}> ()
  src_height_i = Shape <start: int = 2, end: int = 3> (src)
  src_width_i = Shape <start: int = 3, end: int = 4> (src)
  src_height = Cast <to: int = 1> (src_height_i)
  src_width = Cast <to: int = 1> (src_width_i)"""

_POSITIONS = """
  flow_x, flow_y = Split <axis: int = 1, num_outputs: int = 2> (flow)
  x = Add (flow_x, column)
  y = Add (flow_y, row)"""


def _grid_sample(align_corners: int) -> str:
    return f"""
  size = Abs (raw)
  near = Less (size, far)
  safe = Where (near, raw, far)
  grid = Transpose <perm: ints = [0,2,3,1]> (safe)
  out = GridSample <padding_mode: string = "zeros", align_corners: int = {align_corners}>
    (src, grid)"""


def align_corners() -> str:
    """GridSample with align_corners = 1: pixel x of W lies at 2 x / (W - 1) - 1."""
    return f"""{_GRID}{_POSITIONS}
  right = Sub (src_width, one)
  bottom = Sub (src_height, one)
  across = Div (two, right)
  down = Div (two, bottom)
  x_share = Mul (x, across)
  y_share = Mul (y, down)
  x_norm = Sub (x_share, one)
  y_norm = Sub (y_share, one)
  raw = Concat <axis: int = 1> (x_norm, y_norm)
  {_grid_sample(1)}"""


def each_position() -> str:
    """GridSample with align_corners = 0: pixels are moved first, then all are normalised."""
    return f"""{_GRID}{_POSITIONS}
  across = Div (two, src_width)
  down = Div (two, src_height)
  x_from_edge = Add (x, half)
  y_from_edge = Add (y, half)
  x_share = Mul (x_from_edge, across)
  y_share = Mul (y_from_edge, down)
  x_norm = Sub (x_share, one)
  y_norm = Sub (y_share, one)
  raw = Concat <axis: int = 1> (x_norm, y_norm)
  {_grid_sample(0)}"""


def whole_grid() -> str:
    """The grid of zero flow as one tensor, to which the scaled flow is added."""
    return f"""{_GRID}
  ones = Constant <value = int64[2] {{1, 1}}> ()
  plane = Concat <axis: int = 0> (ones, height, width)
  across = Div (two, src_width)
  down = Div (two, src_height)
  column_from_edge = Add (column, half)
  row_from_edge = Add (row, half)
  column_share = Mul (column_from_edge, across)
  row_share = Mul (row_from_edge, down)
  column_norm = Sub (column_share, one)
  row_norm = Sub (row_share, one)
  every_column = Expand (column_norm, plane)
  every_row = Expand (row_norm, plane)
  at_rest = Concat <axis: int = 1> (every_column, every_row)
  shares_in_line = Concat <axis: int = 0> (across, down)
  shares_shape = Constant <value = int64[4] {{1, 2, 1, 1}}> ()
  shares = Reshape (shares_in_line, shares_shape)
  moved = Mul (flow, shares)
  raw = Add (moved, at_rest)
  {_grid_sample(0)}"""


def normalised_grid() -> str:
    """What the exporter writes: the grid of zero flow as a vector per axis."""
    return nodes_of(warp.body("zeros"), like="src")


def gathers() -> str:
    """Four gathers of an image that is padded with 0, and their weights; no GridSample."""
    corners = "".join(
        f"""
  everywhere_{corner} = Expand (at_{corner}, all_indices)
  value_in_line_{corner} = GatherElements <axis: int = 2> (flat, everywhere_{corner})
  value_{corner} = Reshape (value_in_line_{corner}, out_shape)"""
        for corner in ("00", "01", "10", "11")
    )
    return f"""{_GRID}{_POSITIONS}
  zero = Constant <value = float {{0.0}}> ()
  i_1 = Constant <value = int64[1] {{1}}> ()
  i_3 = Constant <value = int64[1] {{3}}> ()
  i_rest = Constant <value = int64[1] {{-1}}> ()
  right = Add (src_width, one)
  bottom = Add (src_height, one)
  x_padded = Add (x, one)
  y_padded = Add (y, one)
  x_low = Max (x_padded, zero)
  y_low = Max (y_padded, zero)
  x_in = Min (x_low, right)
  y_in = Min (y_low, bottom)
  x_is_number = Equal (x_in, x_in)
  y_is_number = Equal (y_in, y_in)
  x_safe = Where (x_is_number, x_in, zero)
  y_safe = Where (y_is_number, y_in, zero)
  x0 = Floor (x_safe)
  y0 = Floor (y_safe)
  fx = Sub (x_safe, x0)
  fy = Sub (y_safe, y0)
  pads = Constant <value = int64[8] {{0,0,1,1,0,0,2,2}}> ()
  padded = Pad (src, pads)
  batch = Shape <start: int = 0, end: int = 1> (src)
  channels = Shape <start: int = 1, end: int = 2> (src)
  flat_shape = Concat <axis: int = 0> (batch, channels, i_rest)
  flat = Reshape (padded, flat_shape)
  line = Add (src_width_i, i_3)
  line_and_1 = Add (line, i_1)
  line_f = Cast <to: int = 1> (line)
  to_line = Mul (y0, line_f)
  at_f = Add (to_line, x0)
  at_i = Cast <to: int = 7> (at_f)
  count = Mul (height, width)
  one_index = Concat <axis: int = 0> (batch, i_1, count)
  all_indices = Concat <axis: int = 0> (batch, channels, count)
  out_shape = Concat <axis: int = 0> (batch, channels, height, width)
  at_00 = Reshape (at_i, one_index)
  at_01 = Add (at_00, i_1)
  at_10 = Add (at_00, line)
  at_11 = Add (at_00, line_and_1)
  {corners}
  above = Sub (value_01, value_00)
  below = Sub (value_11, value_10)
  above_part = Mul (above, fx)
  below_part = Mul (below, fx)
  top = Add (value_00, above_part)
  bottom_value = Add (value_10, below_part)
  fall = Sub (bottom_value, top)
  fall_part = Mul (fall, fy)
  out = Add (top, fall_part)"""


FORMS = {
    USED: normalised_grid(),
    "whole grid": whole_grid(),
    "each position": each_position(),
    "align_corners = 1": align_corners(),
    "gathers": gathers(),
}


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Every form at every size, and what TensorRT-RTX makes of each at the last."""
    table = {}
    for shape in SIZES:
        random = np.random.default_rng(0)
        src = random.normal(size=(1, *shape)).astype(np.float32)
        flow = random.normal(0, 3, (1, 2, *shape[1:])).astype(np.float32)
        bad = flow.copy()
        bad.reshape(-1)[: len(BAD)] = BAD
        table[" x ".join(map(str, shape))] = measure_forms(
            FORMS,
            [{"src": src, "flow": flow}, {"src": src, "flow": bad}],
            used=USED,
            not_judged=NOT_JUDGED,
            tolerance=1e-3,
            rounds=rounds,
            build=shape == SIZES[-1],
        )
    return table
