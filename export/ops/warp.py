"""`cineflow::Warp`: src(p + flow(p))."""

from __future__ import annotations

from cineflow.export.ops._operator import F32_TENSOR, Operator
from cineflow.export.ops._sample import BORDER, all_corners, sample_along
from cineflow.export.ops._text import function, result


def body(border: str, *, from_bytes: bool = False, axes: int = 2) -> str:
    """The ONNX function; `flow` may differ from `src` in size.

    Args:
        border: "zeros" or "clamp".
        from_bytes: Whether `src` is u8; the result is then f32, else of the type of `src`.
        axes: 2 for images, 3 for volumes.
    """
    return function(
        "Warp",
        "src, flow",
        f"""
  {sample_along("flow", "src", border, "out_f32", axes)}
  {result("src", from_bytes)}""",
    )


OP = Operator(
    name="Warp",
    doc="out(p) = src(p + flow(p)); pixel coordinates, flow channel 0 = x, bilinear",
    inputs=(("src", "S"), ("flow", F32_TENSOR)),
    attributes=BORDER,
    body=body,
    takes_bytes=True,
    takes_volumes=True,
    shape=lambda shapes, attributes: (*shapes["src"][:2], *shapes["flow"][2:]),
    multiply_adds=all_corners,
    coordinates=("flow",),
    features=("src",),
    sampled="src",
)
