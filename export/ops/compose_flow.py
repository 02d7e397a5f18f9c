"""`cineflow::ComposeFlow`: displacement(p) + flow(p + displacement(p)), all f32."""

from __future__ import annotations

from cineflow.export.ops._operator import F32_TENSOR, Operator
from cineflow.export.ops._sample import BORDER, all_corners, sample_along
from cineflow.export.ops._text import function


def body(border: str, *, axes: int = 2) -> str:
    """The ONNX function.

    Args:
        border: Of the flow, "zeros" or "clamp".
        axes: 2 for images, 3 for volumes.
    """
    return function(
        "ComposeFlow",
        "displacement, flow",
        f"""
  {sample_along("displacement", "flow", border, "moved_on", axes)}
  out = Add (displacement, moved_on)""",
    )


OP = Operator(
    name="ComposeFlow",
    doc="out(p) = displacement(p) + flow(p + displacement(p)); pixels, bilinear",
    inputs=(("displacement", F32_TENSOR), ("flow", F32_TENSOR)),
    attributes=BORDER,
    body=body,
    takes_volumes=True,
    shape=lambda shapes, attributes: shapes["displacement"],
    multiply_adds=all_corners,
    coordinates=("displacement", "flow"),
    sampled="flow",
)
