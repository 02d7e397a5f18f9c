"""Recipe of `flow4d`, system A: displacements of volumes, one after the other.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
`flow4d_window` sees a window of volumes at once.
"""

from __future__ import annotations

from cineflow.export.recipe import Recipe
from cineflow.export.recipes import _flow4d as shared
from cineflow.models.flow4d import Flow4d, Size

VARIANTS = shared.VARIANTS


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights, and a volume in the middle of a stream."""
    return Recipe(shared.causal_spec("flow4d"), lambda: Flow4d(size), shared.causal_inputs)
