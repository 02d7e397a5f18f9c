"""The operations motion models lean on, for NumPy, torch and CuPy arrays.

Each function answers in the kind of array it was given. Coordinates are pixels, pixel centres are
integers, x points right and y down, and vectors are channel first: channel 0 = x, 1 = y.
"""

from cineflow.ops.compose_flow import compose_flow
from cineflow.ops.correlation import correlation, warp_correlation
from cineflow.ops.polar import PolarGrid, polar_resample, polar_unresample
from cineflow.ops.warp import warp

__all__ = [
    "PolarGrid",
    "compose_flow",
    "correlation",
    "polar_resample",
    "polar_unresample",
    "warp",
    "warp_correlation",
]
