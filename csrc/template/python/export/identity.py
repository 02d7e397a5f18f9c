"""The template of an op's row: what the exporter knows about `cineflow::Identity`."""

from __future__ import annotations

from cineflow.export.ops._operator import Operator
from cineflow.export.ops._text import F32, function, result


def body(*, from_bytes: bool = False) -> str:
    """The ONNX function.

    Args:
        from_bytes: Whether `src` is u8; the result is then f32, else of the type of `src`.
    """
    return function(
        "Identity",
        "src",
        f"""
  out_f32 = Cast <to: int = {F32}> (src)
  {result("src", from_bytes)}""",
    )


OP = Operator(
    name="Identity",
    doc="out = src",
    inputs=(("src", "S"),),
    body=body,
    takes_bytes=True,
    shape=lambda shapes, attributes: shapes["src"],
    multiply_adds=lambda shapes, out: 0,
    features=("src",),
)
