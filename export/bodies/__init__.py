"""The standard-operator bodies of our ops, in ONNX's text form (opset 20).

    text.py          what every body is made of: its frame, the pixel grid, the result's type
    sample.py        bilinear sampling at pixel positions: GridSample, guarded
    warp.py          Warp, ComposeFlow
    correlation.py   Correlation, WarpCorrelation
    polar.py         PolarResample, PolarUnresample

They mirror the kernels' rules: coordinates in pixels and f32, pixel centres at integers, a
non-finite coordinate contributes 0, a huge finite one is plainly outside, products and sums in f32.
`cineflow.export.operators` says which attributes a body is written for.
"""

from cineflow.export.bodies.correlation import correlation, warp_correlation
from cineflow.export.bodies.polar import polar_resample, polar_unresample
from cineflow.export.bodies.text import OPSET
from cineflow.export.bodies.warp import compose_flow, warp

__all__ = [
    "OPSET",
    "compose_flow",
    "correlation",
    "polar_resample",
    "polar_unresample",
    "warp",
    "warp_correlation",
]
