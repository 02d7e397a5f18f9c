"""Slow, obvious NumPy versions of the ops: the gold for tests and benchmarks.

Written from the formulas, and independent of the kernels.
"""

from cineflow.reference.compose_flow import compose_flow
from cineflow.reference.correlation import correlation, warp_correlation
from cineflow.reference.polar import polar_resample, polar_unresample
from cineflow.reference.warp import warp

__all__ = [
    "compose_flow",
    "correlation",
    "polar_resample",
    "polar_unresample",
    "warp",
    "warp_correlation",
]
