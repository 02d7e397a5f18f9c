"""Lines of ONNX text (opset 20) that most bodies need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Opset of the bodies, and of the graphs that carry them.
OPSET = 20

#: ONNX's numbers for f32 and u8, in Cast nodes.
F32 = 1
U8 = 2


def function(name: str, inputs: str, lines: str) -> str:
    """A model-local function of domain `cineflow` with one output, `out`."""
    return f"""
<opset_import: ["" : {OPSET}], domain: "cineflow">
{name} ({inputs}) => (out) {{
{lines}
}}
"""


def result(like: str, from_bytes: bool) -> str:
    """`out` from `out_f32`: in the type of `like`, but f32 where that holds bytes."""
    return "out = Identity (out_f32)" if from_bytes else f"out = CastLike (out_f32, {like})"


def levels() -> str:
    """`out` u8 from `out_f32`: the nearest level, ties to even, in 0..255; NaN gives 0."""
    return f"""
  {constant("darkest", "", [0])}
  {constant("brightest", "", [255])}
  out_positive = Greater (out_f32, darkest)
  out_from_0 = Where (out_positive, out_f32, darkest)
  out_to_255 = Min (out_from_0, brightest)
  out_level = Round (out_to_255)
  out = Cast <to: int = {U8}> (out_level)"""


def pixels(height: str, width: str, row: str = "row", column: str = "column") -> str:
    """`row` [h, 1] and `column` [w] f32, counted from 0; `height` and `width` are int64 [1]."""
    return f"""
  count_from = Constant <value = int64 {{0}}> ()
  count_by = Constant <value = int64 {{1}}> ()
  only = Constant <value = int64[1] {{0}}> ()
  last_axis = Constant <value = int64[1] {{-1}}> ()
  rows_end = Squeeze ({height}, only)
  columns_end = Squeeze ({width}, only)
  row_i = Range (count_from, rows_end, count_by)
  column_i = Range (count_from, columns_end, count_by)
  row_f = Cast <to: int = {F32}> (row_i)
  {column} = Cast <to: int = {F32}> (column_i)
  {row} = Unsqueeze (row_f, last_axis)"""


def voxels(depth: str, height: str, width: str, slice_: str, row: str, column: str) -> str:
    """The rows and columns of `pixels`, and `slice_` [d, 1, 1]; `depth` is int64 [1] also."""
    return f"""
  {pixels(height, width, row=row, column=column)}
  slices_end = Squeeze ({depth}, only)
  slice_i = Range (count_from, slices_end, count_by)
  slice_f = Cast <to: int = {F32}> (slice_i)
  both_last = Constant <value = int64[2] {{-2, -1}}> ()
  {slice_} = Unsqueeze (slice_f, both_last)"""


def prefixed(lines: str, prefix: str, inputs: Mapping[str, str]) -> str:
    """`lines` with other names, so that they can stand in one body twice.

    Args:
        lines: Of ONNX text.
        prefix: Of the name of every value that they define.
        inputs: New names of values that they read.
    """
    defined = re.findall(r"(\w+)(?=(?:, \w+)* = \w+ [<(])", lines)
    names = {name: prefix + name for name in defined} | dict(inputs)
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), lines)


def constant(name: str, shape: str, values: Iterable[float]) -> str:
    """An f32 constant. Nine digits give every f32 exactly."""
    words = ", ".join(f"{value:.9g}" for value in values)
    return f"{name} = Constant <value = float{shape} {{{words}}}> ()"
