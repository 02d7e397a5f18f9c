"""`cineflow::PatchCorrelation`: the cells of patches around key points, each with each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from cineflow.export.ops._operator import (
    F32_TENSOR,
    Attribute,
    InputShapes,
    Operator,
    Shape,
)
from cineflow.export.ops._sample import BORDER, sample
from cineflow.export.ops._text import constant, function, result

#: What the kernels take (csrc/core/include/cineflow/patch_correlation.h).
MAX_PATCH = 64

_PATCHES: dict[str, Attribute] = {"size1": 7, "size2": 7, "pool1": 1, "pool2": 1, "scale": 1.0}


def body(size1: int, size2: int, pool1: int, pool2: int, border: str) -> str:
    """The ONNX function: patches by GridSample, cells by a mean, and one matrix product.

    All patches of a map are samples of one grid [K size, size], so that a map is one GridSample of
    rank 4.

    Args:
        size1: Samples along a side of a patch of f1.
        size2: The same in f2.
        pool1: Samples along a side of a cell of f1.
        pool2: The same in f2.
        border: "zeros" or "clamp".

    Raises:
        ValueError: The kernels refuse an argument as well.
    """
    return function(
        "PatchCorrelation",
        "f1, f2, points1, points2",
        f"""
  one = Constant <value = int64[1] {{1}}> ()
  two = Constant <value = int64[1] {{2}}> ()
  channels = Shape <start: int = 1, end: int = 2> (f1)
  references = Shape <start: int = 0, end: int = 1> (f1)
  images = Shape <start: int = 0, end: int = 1> (f2)
  count = Shape <start: int = 1, end: int = 2> (points2)
  {_cells("1", size1, pool1, border)}
  {_cells("2", size2, pool2, border)}

  rows = Constant <value = int64[1] {{{(size1 // pool1) ** 2}}}> ()
  columns = Constant <value = int64[1] {{{(size2 // pool2) ** 2}}}> ()
  first_shape = Concat <axis: int = 0> (references, one, count, rows, channels)
  first_in_line = Transpose <perm: ints = [0, 2, 3, 1]> (cells_of_f1)
  first_once = Reshape <allowzero: int = 1> (first_in_line, first_shape)
  references_or_1 = Max (references, one)
  targets = Div (images, references_or_1)
  every_target = Concat <axis: int = 0> (references, targets, count, rows, channels)
  first = Expand (first_once, every_target)
  second_shape = Concat <axis: int = 0> (references, targets, count, channels, columns)
  second_in_line = Transpose <perm: ints = [0, 2, 1, 3]> (cells_of_f2)
  second = Reshape <allowzero: int = 1> (second_in_line, second_shape)
  products = MatMul (first, second)
  factor = Constant <value_float: float = @scale> ()
  scaled = Mul (products, factor)
  out_shape = Concat <axis: int = 0> (images, count, rows, columns)
  out_f32 = Reshape <allowzero: int = 1> (scaled, out_shape)
  {result("f1", from_bytes=False)}""",
    )


def _cells(one: str, size: int, pool: int, border: str) -> str:
    """`cells_of_f1` [B, C, K, cells] f32, or `cells_of_f2` [N, C, K, cells].

    Raises:
        ValueError: The kernels refuse an argument as well.
    """
    if not (1 <= size <= MAX_PATCH and 1 <= pool <= size and size % pool == 0):
        raise ValueError(f"size{one} {size}, pool{one} {pool}")
    side = size // pool
    steps = [float(step - size // 2) for step in range(size)]
    lines = f"""
  samples = Constant <value = int64[1] {{{size}}}> ()
  batch = Shape <start: int = 0, end: int = 1> (points{one})
  {constant("steps_across", f"[{size}]", steps)}
  {constant("steps_down", f"[{size}, 1]", steps)}
  point_x, point_y = Split <axis: int = 2, num_outputs: int = 2> (points{one})
  sample_axis = Constant <value = int64[1] {{3}}> ()
  column_of = Unsqueeze (point_x, sample_axis)
  row_of = Unsqueeze (point_y, sample_axis)
  columns_of = Add (column_of, steps_across)
  rows_of = Add (row_of, steps_down)
  square = Concat <axis: int = 0> (batch, count, samples, samples)
  all_columns = Expand (columns_of, square)
  all_rows = Expand (rows_of, square)
  all_lines = Mul (count, samples)
  grid_shape = Concat <axis: int = 0> (batch, one, all_lines, samples)
  x = Reshape <allowzero: int = 1> (all_columns, grid_shape)
  y = Reshape <allowzero: int = 1> (all_rows, grid_shape)
  {sample(f"f{one}", border, "patches")}
  side = Constant <value = int64[1] {{{side}}}> ()
  pool = Constant <value = int64[1] {{{pool}}}> ()
  block_shape = Concat <axis: int = 0> (batch, channels, count, side, pool, side, pool)
  blocks = Reshape <allowzero: int = 1> (patches, block_shape)
  in_block = Constant <value = int64[2] {{4, 6}}> ()
  means = ReduceMean <keepdims: int = 0> (blocks, in_block)
  in_patch = Constant <value = int64[1] {{{side * side}}}> ()
  cells_shape = Concat <axis: int = 0> (batch, channels, count, in_patch)
  cells_of_f = Reshape <allowzero: int = 1> (means, cells_shape)"""
    return _renamed(lines, one)


def _renamed(lines: str, ending: str) -> str:
    """The lines with `ending` at the name of every value that they make, so that a function can
    have them twice."""
    made = {
        name
        for names in re.findall(r"^\s*(\w+(?:, \w+)*) = ", lines, re.MULTILINE)
        for name in names.split(", ")
    }
    # Not the names of attributes, which are followed by a colon.
    return re.sub(
        r"\b(\w+)\b(?!:)", lambda found: found[1] + ending if found[1] in made else found[1], lines
    )


def _shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    cells = [(attributes[f"size{one}"] // attributes[f"pool{one}"]) ** 2 for one in (1, 2)]
    return (shapes["f2"][0], shapes["points2"][1], *cells)


def _multiply_adds(shapes: InputShapes, out: Shape) -> int:
    """One per channel and value. Samples do not count, because no shape tells their number."""
    return math.prod(out) * shapes["f1"][1]


OP = Operator(
    name="PatchCorrelation",
    doc="out[n, k, i, j] = scale * sum over channels of a(i) b(j), cells of patches around points",
    inputs=(("f1", "S"), ("f2", "S"), ("points1", F32_TENSOR), ("points2", F32_TENSOR)),
    attributes=_PATCHES | BORDER,
    referenced=("scale",),
    body=body,
    shape=_shape,
    multiply_adds=_multiply_adds,
    coordinates=("points1", "points2"),
    features=("f1", "f2"),
    contracts=True,
    sampled="f2",
)
