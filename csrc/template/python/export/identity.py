"""The template of an ONNX body, and of its row in `cineflow.export.operators.OPERATORS`."""

from __future__ import annotations

from cineflow.export.bodies.text import F32, function, result
from cineflow.export.operators import Operator


def identity(*, from_bytes: bool = False) -> str:
    """Body of `cineflow::Identity`.

    Args:
        from_bytes: Whether `src` is u8; the result is f32 then, else of the type of `src`.
    """
    return function(
        "Identity",
        "src",
        f"""
  out_f32 = Cast <to: int = {F32}> (src)
  {result("src", from_bytes)}""",
    )


IDENTITY = Operator(
    name="Identity",
    torch_name="identity",
    inputs=(("src", "S"),),
    attributes={},
    body=identity,
    doc="out = src",
    takes_bytes=True,
)
