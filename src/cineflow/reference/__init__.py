"""Slow, obvious NumPy versions of the ops: the gold for tests and benchmarks.

Written from the formulas, one pixel at a time, and independent of the kernels.
"""

from cineflow.reference.warp import warp

__all__ = ["warp"]
