"""Recipe of `flow4d_window`, system A: displacements of the volumes of a window.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
"""

from __future__ import annotations

from cineflow.export.recipe import Recipe
from cineflow.export.recipes import _flow4d as shared
from cineflow.models.flow4d import Flow4dWindow, Size

VARIANTS = shared.VARIANTS


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights, and a window in the middle of a stream."""
    return Recipe(
        shared.window_spec("flow4d_window"), lambda: Flow4dWindow(size), shared.window_inputs
    )
