"""Bodies of `cineflow::Warp` and `cineflow::ComposeFlow`."""

from __future__ import annotations

from cineflow.export.bodies.sample import sample
from cineflow.export.bodies.text import function, pixels, result


def sample_along(flow: str, source: str, border: str, to: str) -> str:
    """`to` [N, C, h, w] f32: `source` at each pixel of the grid of `flow`, moved by it."""
    return f"""
  flow_height = Shape <start: int = 2, end: int = 3> ({flow})
  flow_width = Shape <start: int = 3, end: int = 4> ({flow})
  {pixels("flow_height", "flow_width", row="y", column="x")}
  {sample(source, border, to, moved_by=flow)}"""


def warp(border: str, *, from_bytes: bool = False) -> str:
    """Body of `cineflow::Warp`: src(p + flow(p)); `flow` may be of another size than `src`.

    Args:
        border: "zeros" or "clamp".
        from_bytes: Whether `src` is u8; the result is f32 then, else of the type of `src`.
    """
    return function(
        "Warp",
        "src, flow",
        f"""
  {sample_along("flow", "src", border, "out_f32")}
  {result("src", from_bytes)}""",
    )


def compose_flow(border: str) -> str:
    """Body of `cineflow::ComposeFlow`: displacement(p) + flow(p + displacement(p)), all f32.

    Args:
        border: Of the flow, "zeros" or "clamp".
    """
    return function(
        "ComposeFlow",
        "displacement, flow",
        f"""
  {sample_along("displacement", "flow", border, "moved_on")}
  out = Add (displacement, moved_on)""",
    )
