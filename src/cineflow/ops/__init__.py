"""The operations motion models lean on, for NumPy, torch and CuPy arrays.

Each function answers in the kind of array it was given. Coordinates are pixels, pixel centres are
integers, x points right and y down, and vectors are channel first: channel 0 = x, 1 = y.
"""

from cineflow.ops.compose_flow import compose_flow
from cineflow.ops.warp import warp

__all__ = ["compose_flow", "warp"]
