"""`cineflow::CorrelationOnDemand`: RAFT's look-up from the levels of a feature map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cineflow.export.ops._levels import looked_up, require_levels, scaled_rows, window_values
from cineflow.export.ops._operator import F32_TENSOR, InputShapes, Operator, Shape
from cineflow.export.ops._text import F32, function, result


def body(levels: int, radius: int) -> str:
    """The ONNX function: a matrix product per level, which is then sampled as in the look-up.

    Standard operators have no windows of dot products, so this body does need the volume in
    memory. Only the kernels do without it.
    """
    require_levels(levels, radius)
    return function(
        "CorrelationOnDemand",
        "f1, features, coords",
        f"""
  {scaled_rows()}
  features_single = Cast <to: int = {F32}> (features)
  features_f32 = Pad (features_single, more_channels)
  both_axes = Constant <value = int64[2] {{2, 3}}> ()
  no_columns = Constant <value = int64[1] {{0}}> ()
  end_0 = Constant <value = int64[1] {{0}}> ()
  {"".join(_level(level) for level in range(levels))}
  {looked_up(levels, radius)}
  {result("f1", from_bytes=False)}""",
    )


def _level(n: int) -> str:
    """`maps_n` [N H W, 1, H >> n, W >> n]."""
    return f"""
  part_{n} = Constant <value = int64[1] {{{2**n}}}> ()
  level_height_{n} = Div (height, part_{n})
  level_width_{n} = Div (width, part_{n})
  level_size_{n} = Mul (level_height_{n}, level_width_{n})
  end_{n + 1} = Add (end_{n}, level_height_{n})
  from_{n} = Concat <axis: int = 0> (end_{n}, no_columns)
  to_{n} = Concat <axis: int = 0> (end_{n + 1}, level_width_{n})
  level_{n} = Slice (features_f32, from_{n}, to_{n}, both_axes)
  flat_shape_{n} = Concat <axis: int = 0> (batch, channels, level_size_{n})
  flat_{n} = Reshape <allowzero: int = 1> (level_{n}, flat_shape_{n})
  volume_{n} = MatMul (f1_rows, flat_{n})
  maps_shape_{n} = Concat <axis: int = 0> (all_pixels, one, level_height_{n}, level_width_{n})
  maps_{n} = Reshape <allowzero: int = 1> (volume_{n}, maps_shape_{n})"""


def _shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    """[N, levels (2r + 1)^2, H, W]."""
    n, _, height, width = shapes["f1"]
    return (n, attributes["levels"] * (2 * attributes["radius"] + 1) ** 2, height, width)


def _multiply_adds(shapes: InputShapes, out: Shape) -> int:
    """The kernels': a dot product per sample, nearly, and four neighbours."""
    return math.prod(out) * shapes["f1"][1] + window_values(shapes, out)


OP = Operator(
    name="CorrelationOnDemand",
    doc="The look-up in the correlation pyramid of f1 and the levels of f2, without the pyramid",
    inputs=(("f1", "S"), ("features", "S"), ("coords", F32_TENSOR)),
    attributes={"levels": 4, "radius": 4, "scale": 1.0},
    referenced=("scale",),
    body=body,
    shape=_shape,
    multiply_adds=_multiply_adds,
    coordinates=("coords",),
    features=("f1", "features"),
    contracts=True,
    sampled="features",
)
