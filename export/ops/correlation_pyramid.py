"""`cineflow::CorrelationPyramid`: RAFT's correlation of all pairs of pixels, with pooled levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cineflow.export.ops._levels import halved, level_sides, require_levels, scaled_rows
from cineflow.export.ops._operator import InputShapes, Operator, Shape
from cineflow.export.ops._text import F32, function, result


def body(levels: int) -> str:
    """The ONNX function: one matrix product, and one AveragePool per further level."""
    require_levels(levels)
    flat = "\n".join(
        f"""
  level_height_{n} = Shape <start: int = 2, end: int = 3> (maps_{n})
  level_width_{n} = Shape <start: int = 3, end: int = 4> (maps_{n})
  level_size_{n} = Mul (level_height_{n}, level_width_{n})
  flat_shape_{n} = Concat <axis: int = 0> (batch, height, width, level_size_{n})
  flat_{n} = Reshape <allowzero: int = 1> (maps_{n}, flat_shape_{n})"""
        for n in range(levels)
    )
    names = ", ".join(f"flat_{n}" for n in range(levels))
    return function(
        "CorrelationPyramid",
        "f1, f2",
        f"""
  {scaled_rows()}
  f2_f32 = Cast <to: int = {F32}> (f2)
  f2_padded = Pad (f2_f32, more_channels)
  f2_flat = Reshape <allowzero: int = 1> (f2_padded, f1_shape)
  volume = MatMul (f1_rows, f2_flat)
  maps_shape = Concat <axis: int = 0> (all_pixels, one, height, width)
  maps_0 = Reshape <allowzero: int = 1> (volume, maps_shape)
{halved("maps", levels)}
{flat}
  out_f32 = Concat <axis: int = 3> ({names})
  {result("f1", from_bytes=False)}""",
    )


def _shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    """[N, H, W, L]."""
    n, _, height, width = shapes["f1"]
    sides = level_sides((height, width), attributes["levels"])
    return (n, height, width, sum(map(math.prod, sides)))


OP = Operator(
    name="CorrelationPyramid",
    doc="For each pixel p, scale * sum over channels of f1(p) f2(q) for all q, and halved levels",
    inputs=(("f1", "S"), ("f2", "S")),
    attributes={"levels": 4, "scale": 1.0},
    referenced=("scale",),
    body=body,
    shape=_shape,
    multiply_adds=lambda shapes, out: math.prod(shapes["f1"]) * math.prod(shapes["f1"][2:]),
    features=("f1", "f2"),
    contracts=True,
)
