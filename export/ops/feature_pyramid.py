"""`cineflow::FeaturePyramid`: the levels of a feature map, one below the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cineflow.export.ops._levels import halved, require_levels
from cineflow.export.ops._operator import InputShapes, Operator, Shape
from cineflow.export.ops._text import F32, function, result


def body(levels: int) -> str:
    """The ONNX function; each level is padded on the right to the width of the first.

    Each plane is an image of its own: ONNX Runtime pools no images without channels.
    """
    require_levels(levels)
    padded = "\n".join(
        f"""
  level_width_{n} = Shape <start: int = 3, end: int = 4> (maps_{n})
  missing_{n} = Sub (width, level_width_{n})
  margins_{n} = Concat <axis: int = 0> (no_margins, missing_{n})
  padded_{n} = Pad (maps_{n}, margins_{n})"""
        for n in range(levels)
    )
    names = ", ".join(f"padded_{n}" for n in range(levels))
    return function(
        "FeaturePyramid",
        "f2",
        f"""
  batch = Shape <start: int = 0, end: int = 1> (f2)
  channels = Shape <start: int = 1, end: int = 2> (f2)
  sides = Shape <start: int = 2, end: int = 4> (f2)
  width = Shape <start: int = 3, end: int = 4> (f2)
  one = Constant <value = int64[1] {{1}}> ()
  planes = Mul (batch, channels)
  planes_shape = Concat <axis: int = 0> (planes, one, sides)
  no_margins = Constant <value = int64[7] {{0, 0, 0, 0, 0, 0, 0}}> ()
  f2_f32 = Cast <to: int = {F32}> (f2)
  maps_0 = Reshape <allowzero: int = 1> (f2_f32, planes_shape)
{halved("maps", levels)}
{padded}
  stacked = Concat <axis: int = 2> ({names})
  rows = Shape <start: int = 2, end: int = 3> (stacked)
  out_shape = Concat <axis: int = 0> (batch, channels, rows, width)
  out_f32 = Reshape <allowzero: int = 1> (stacked, out_shape)
  {result("f2", from_bytes=False)}""",
    )


def _shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    """[N, C, R, W]."""
    n, channels, height, width = shapes["f2"]
    return (n, channels, sum(height >> level for level in range(attributes["levels"])), width)


OP = Operator(
    name="FeaturePyramid",
    doc="Levels of f2, each the mean of 2 x 2 pixels of the one before, one below the other",
    inputs=(("f2", "S"),),
    attributes={"levels": 4},
    body=body,
    shape=_shape,
    multiply_adds=lambda shapes, out: math.prod(out),
    features=("f2",),
)
