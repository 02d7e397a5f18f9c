"""`cineflow::Correlation`: similarity of f1 with its neighbourhood in f2."""

from __future__ import annotations

from cineflow.export.ops._match import MATCH, match, products, volume_shape
from cineflow.export.ops._operator import Operator
from cineflow.export.ops._text import F32, function, result


def body(radius: int, dilation: int, x_major: int, *, axes: int = 2) -> str:
    """The ONNX function; `match` describes the arguments."""
    return function(
        "Correlation",
        "f1, f2",
        f"""
  f2_f32 = Cast <to: int = {F32}> (f2)
  {match(radius, dilation, x_major, axes)}
  {result("f1", from_bytes=False)}""",
    )


OP = Operator(
    name="Correlation",
    doc="out[k](p) = scale * sum over channels of f1(p) f2(p + dilation d_k); outside is 0",
    inputs=(("f1", "S"), ("f2", "S")),
    attributes=MATCH,
    referenced=("scale",),
    body=body,
    takes_volumes=True,
    shape=volume_shape,
    multiply_adds=products,
    features=("f1", "f2"),
    contracts=True,
)
