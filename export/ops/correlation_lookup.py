"""`cineflow::CorrelationLookup`: windows of all levels of a correlation pyramid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cineflow.export.ops._levels import looked_up, require_levels, window_values
from cineflow.export.ops._operator import F32_TENSOR, InputShapes, Operator, Shape
from cineflow.export.ops._text import F32, function, result


def body(levels: int, radius: int) -> str:
    """The ONNX function: each level is cut out of the pyramid and sampled by one GridSample."""
    require_levels(levels, radius)
    return function(
        "CorrelationLookup",
        "pyramid, coords",
        f"""
  batch = Shape <start: int = 0, end: int = 1> (pyramid)
  height = Shape <start: int = 1, end: int = 2> (pyramid)
  width = Shape <start: int = 2, end: int = 3> (pyramid)
  pixels = Mul (height, width)
  all_pixels = Mul (batch, pixels)
  one = Constant <value = int64[1] {{1}}> ()
  last_axis = Constant <value = int64[1] {{3}}> ()
  pyramid_f32 = Cast <to: int = {F32}> (pyramid)
  end_0 = Constant <value = int64[1] {{0}}> ()
  {"".join(_level(level) for level in range(levels))}
  {looked_up(levels, radius)}
  {result("pyramid", from_bytes=False)}""",
    )


def _level(n: int) -> str:
    """`maps_n` [N H W, 1, H >> n, W >> n]."""
    return f"""
  part_{n} = Constant <value = int64[1] {{{2**n}}}> ()
  level_height_{n} = Div (height, part_{n})
  level_width_{n} = Div (width, part_{n})
  level_size_{n} = Mul (level_height_{n}, level_width_{n})
  end_{n + 1} = Add (end_{n}, level_size_{n})
  level_{n} = Slice (pyramid_f32, end_{n}, end_{n + 1}, last_axis)
  maps_shape_{n} = Concat <axis: int = 0> (all_pixels, one, level_height_{n}, level_width_{n})
  maps_{n} = Reshape <allowzero: int = 1> (level_{n}, maps_shape_{n})"""


def _shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    """[N, levels (2r + 1)^2, H, W]."""
    n, height, width, _ = shapes["pyramid"]
    return (n, attributes["levels"] * (2 * attributes["radius"] + 1) ** 2, height, width)


OP = Operator(
    name="CorrelationLookup",
    doc="out[k](p) = level l of the pyramid at coords(p) / 2^l + d, x slowest; outside is 0",
    inputs=(("pyramid", "S"), ("coords", F32_TENSOR)),
    attributes={"levels": 4, "radius": 4},
    body=body,
    shape=_shape,
    multiply_adds=window_values,
    coordinates=("coords",),
    features=("pyramid",),
    sampled="pyramid",
)
