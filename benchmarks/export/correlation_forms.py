"""Standard-operator forms of the correlation that were tried, radius 4, y-major, mean.

Each returns the nodes of an ONNX graph from f1, f2 [N, C, H, W] to out [N, 81, H, W]. The exporter
uses `tiles` (cineflow.export.ops.correlation); the others are kept so that the choice can be
measured again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.export.forms import measure_forms, nodes_of
from cineflow.export.ops import correlation

RADIUS = 4
SIDE = 2 * RADIUS + 1

#: Feature maps of flow_pwc at 256 x 256, coarse to fine, and one larger: C, H, W.
SIZES = ((192, 4, 4), (128, 8, 8), (96, 16, 16), (64, 32, 32), (32, 64, 64), (32, 128, 128))

USED = "tiles (used)"


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Every form at every size, and its engine in TensorRT-RTX at the largest."""
    table = {}
    for shape in SIZES:
        random = np.random.default_rng(0)
        f1, f2 = random.normal(size=(2, 1, *shape)).astype(np.float32)
        table[" x ".join(map(str, shape))] = measure_forms(
            {name: form(shape[0]) for name, form in FORMS.items()},
            [{"f1": f1, "f2": f2}],
            used=USED,
            tolerance=1e-4,
            rounds=rounds,
            build=shape == SIZES[-1],
        )
    return table


def slices(channels: int) -> str:
    """One slice, product and mean per displacement."""
    lines = [
        f"pads = Constant <value = int64[8] {{0,0,{RADIUS},{RADIUS},0,0,{RADIUS},{RADIUS}}}> ()",
        "padded = Pad (f2, pads)",
        "size = Shape <start: int = 2> (f1)",
        "axes = Constant <value = int64[2] {2,3}> ()",
        "channel = Constant <value = int64[1] {1}> ()",
    ]
    means = []
    for dy in range(SIDE):
        for dx in range(SIDE):
            k = f"{dy}_{dx}"
            lines += [
                f"from_{k} = Constant <value = int64[2] {{{dy},{dx}}}> ()",
                f"to_{k} = Add (size, from_{k})",
                f"moved_{k} = Slice (padded, from_{k}, to_{k}, axes)",
                f"product_{k} = Mul (f1, moved_{k})",
                f"mean_{k} = ReduceMean <keepdims: int = 1> (product_{k}, channel)",
            ]
            means.append(f"mean_{k}")
    return "\n".join([*lines, f"out = Concat <axis: int = 1> ({', '.join(means)})"])


def bands(channels: int) -> str:
    """One matrix product per row and row offset: [W, C] x [C, W + 8], of which a band is wanted."""
    lines = [
        f"pads = Constant <value = int64[8] {{0,0,{RADIUS},{RADIUS},0,0,{RADIUS},{RADIUS}}}> ()",
        "padded = Pad (f2, pads)",
        "rows = Transpose <perm: ints = [0,2,1,3]> (padded)",
        "pixels = Transpose <perm: ints = [0,2,3,1]> (f1)",
        f"mean = Constant <value = float {{{1.0 / channels}}}> ()",
        "scaled = Mul (pixels, mean)",
        "front = Shape <start: int = 0, end: int = 1> (f1)",
        "height = Shape <start: int = 2, end: int = 3> (f1)",
        "width = Shape <start: int = 3, end: int = 4> (f1)",
        f"reach = Constant <value = int64[1] {{{2 * RADIUS}}}> ()",
        f"side = Constant <value = int64[1] {{{SIDE}}}> ()",
        "zero = Constant <value = int64[1] {0}> ()",
        "one = Constant <value = int64[1] {1}> ()",
        "three = Constant <value = int64[1] {3}> ()",
        "wide = Add (width, reach)",
        "flat = Mul (width, wide)",
        "wider = Add (wide, one)",
        "flat_shape = Concat <axis: int = 0> (front, height, flat)",
        "skewed_shape = Concat <axis: int = 0> (front, height, width, wider)",
        "zeros = Constant <value = int64[5] {0,0,0,0,0}> ()",
        "one_row = Concat <axis: int = 0> (zeros, width)",
    ]
    for k in range(SIDE):
        lines += [
            f"from_{k} = Constant <value = int64[1] {{{k}}}> ()",
            f"to_{k} = Add (height, from_{k})",
            f"moved_{k} = Slice (rows, from_{k}, to_{k}, one)",
            f"product_{k} = MatMul (scaled, moved_{k})",
            f"flat_{k} = Reshape (product_{k}, flat_shape)",
            f"longer_{k} = Pad (flat_{k}, one_row)",
            f"skewed_{k} = Reshape (longer_{k}, skewed_shape)",
            f"band_{k} = Slice (skewed_{k}, zero, side, three)",
        ]
    names = ", ".join(f"band_{k}" for k in range(SIDE))
    return "\n".join(
        [
            *lines,
            f"all = Concat <axis: int = 3> ({names})",
            "out = Transpose <perm: ints = [0,3,1,2]> (all)",
        ]
    )


def blocks(channels: int) -> str:
    """One product per block of 8 x 8 pixels with its 16 x 16 window: few, large, a third of use.

    The band is cut twice, along both axes of the block. For heights and widths that 8 divides; the
    others are padded outside.
    """
    block, window = 8, 16
    row, plane = window * window + 1, block * window * window + window
    return f"""
  i_0 = Constant <value = int64[1] {{0}}> ()
  i_1 = Constant <value = int64[1] {{1}}> ()
  size = Constant <value = int64[1] {{{block}}}> ()
  batch = Shape <start: int = 0, end: int = 1> (f1)
  channels = Shape <start: int = 1, end: int = 2> (f1)
  height = Shape <start: int = 2, end: int = 3> (f1)
  width = Shape <start: int = 3, end: int = 4> (f1)
  seven = Constant <value = int64[1] {{7}}> ()
  height_up = Add (height, seven)
  width_up = Add (width, seven)
  ty = Div (height_up, size)
  tx = Div (width_up, size)
  full_height = Mul (ty, size)
  full_width = Mul (tx, size)
  missing_rows = Sub (full_height, height)
  missing_columns = Sub (full_width, width)
  mean = Constant <value = float {{{1.0 / channels}}}> ()
  scaled = Mul (f1, mean)
  front_1 = Constant <value = int64[6] {{0,0,0,0,0,0}}> ()
  pads_1 = Concat <axis: int = 0> (front_1, missing_rows, missing_columns)
  padded_1 = Pad (scaled, pads_1)
  shape_1 = Concat <axis: int = 0> (batch, channels, ty, size, tx, size)
  folded_1 = Reshape (padded_1, shape_1)
  pixels = Transpose <perm: ints = [0,2,4,3,5,1]> (folded_1)
  area = Constant <value = int64[1] {{{block * block}}}> ()
  left_shape = Concat <axis: int = 0> (batch, ty, tx, area, channels)
  left = Reshape (pixels, left_shape)
  front_2 = Constant <value = int64[6] {{0,0,{RADIUS},{RADIUS},0,0}}> ()
  least = Constant <value = int64[1] {{{RADIUS}}}> ()
  bottom = Add (missing_rows, least)
  right_side = Add (missing_columns, least)
  pads_2 = Concat <axis: int = 0> (front_2, bottom, right_side)
  padded_2 = Pad (f2, pads_2)
  ty_1 = Add (ty, i_1)
  tx_1 = Add (tx, i_1)
  shape_2 = Concat <axis: int = 0> (batch, channels, ty_1, size, tx_1, size)
  folded_2 = Reshape (padded_2, shape_2)
  axis_2 = Constant <value = int64[1] {{2}}> ()
  axis_4 = Constant <value = int64[1] {{4}}> ()
  above = Slice (folded_2, i_0, ty, axis_2)
  below = Slice (folded_2, i_1, ty_1, axis_2)
  tall = Concat <axis: int = 3> (above, below)
  before = Slice (tall, i_0, tx, axis_4)
  behind = Slice (tall, i_1, tx_1, axis_4)
  square = Concat <axis: int = 5> (before, behind)
  windows = Transpose <perm: ints = [0,2,4,1,3,5]> (square)
  window_area = Constant <value = int64[1] {{{window * window}}}> ()
  right_shape = Concat <axis: int = 0> (batch, ty, tx, channels, window_area)
  right = Reshape (windows, right_shape)
  products = MatMul (left, right)
  flat = Constant <value = int64[1] {{{block * block * window * window}}}> ()
  flat_shape = Concat <axis: int = 0> (batch, ty, tx, flat)
  line = Reshape (products, flat_shape)
  longer_by = Constant <value = int64[8] {{0,0,0,0,0,0,0,{block * window}}}> ()
  longer = Pad (line, longer_by)
  plane = Constant <value = int64[1] {{{plane}}}> ()
  plane_shape = Concat <axis: int = 0> (batch, ty, tx, size, plane)
  skewed_y = Reshape (longer, plane_shape)
  kept = Constant <value = int64[1] {{{block * row}}}> ()
  cut_y = Slice (skewed_y, i_0, kept, axis_4)
  row = Constant <value = int64[1] {{{row}}}> ()
  row_shape = Concat <axis: int = 0> (batch, ty, tx, size, size, row)
  skewed_x = Reshape (cut_y, row_shape)
  used = Constant <value = int64[1] {{{SIDE * window}}}> ()
  axis_5 = Constant <value = int64[1] {{5}}> ()
  cut_x = Slice (skewed_x, i_0, used, axis_5)
  side = Constant <value = int64[1] {{{SIDE}}}> ()
  window = Constant <value = int64[1] {{{window}}}> ()
  band_shape = Concat <axis: int = 0> (batch, ty, tx, size, size, side, window)
  bands = Reshape (cut_x, band_shape)
  axis_6 = Constant <value = int64[1] {{6}}> ()
  band = Slice (bands, i_0, side, axis_6)
  by_plane = Transpose <perm: ints = [0,5,6,1,3,2,4]> (band)
  planes = Constant <value = int64[1] {{{SIDE * SIDE}}}> ()
  whole_shape = Concat <axis: int = 0> (batch, planes, full_height, full_width)
  whole = Reshape (by_plane, whole_shape)
  from = Constant <value = int64[2] {{0,0}}> ()
  to = Concat <axis: int = 0> (height, width)
  axes = Constant <value = int64[2] {{2,3}}> ()
  out = Slice (whole, from, to, axes)"""


def tiles(channels: int) -> str:
    """What the exporter writes: a product per tile of a row and row offset, skewed together."""
    nodes = nodes_of(correlation.body(RADIUS, 1, 0), like="f1")
    return nodes.replace("value_float: float = @scale", f"value_float: float = {1.0 / channels}")


FORMS = {USED: tiles, "blocks": blocks, "bands": bands, "slices": slices}
