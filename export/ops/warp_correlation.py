"""`cineflow::WarpCorrelation`: the correlation of f1 with the warped f2."""

from __future__ import annotations

import math

from cineflow.export.ops._match import MATCH, match, products, volume_shape
from cineflow.export.ops._operator import F32_TENSOR, InputShapes, Operator, Shape
from cineflow.export.ops._sample import BORDER, sample_along
from cineflow.export.ops._text import function, result


def body(radius: int, dilation: int, x_major: int, border: str, *, axes: int = 2) -> str:
    """The ONNX function; the warped f2 stays in f32, as in the kernels.

    Args:
        radius: As in `match`.
        dilation: As in `match`.
        x_major: As in `match`.
        border: Of the warp, "zeros" or "clamp".
        axes: 2 for images, 3 for volumes.
    """
    return function(
        "WarpCorrelation",
        "f1, f2, flow",
        f"""
  {sample_along("flow", "f2", border, "f2_f32", axes)}
  {match(radius, dilation, x_major, axes)}
  {result("f1", from_bytes=False)}""",
    )


def _multiply_adds(shapes: InputShapes, out: Shape) -> int:
    # Four neighbours per warped value, eight in volumes.
    return products(shapes, out) + 2 ** (len(out) - 2) * math.prod(shapes["f1"])


OP = Operator(
    name="WarpCorrelation",
    doc="Correlation of f1 with f2(q + flow(q)), which is not rounded on the way",
    inputs=(("f1", "S"), ("f2", "S"), ("flow", F32_TENSOR)),
    attributes=MATCH | BORDER,
    referenced=("scale",),
    body=body,
    takes_volumes=True,
    shape=volume_shape,
    multiply_adds=_multiply_adds,
    coordinates=("flow",),
    features=("f1", "f2"),
    contracts=True,
    sampled="f2",
)
