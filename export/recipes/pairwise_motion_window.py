"""Recipe of `pairwise_motion_window`: displacements of a window, temporal transformer.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
"""

from __future__ import annotations

from cineflow.export.recipe import Recipe
from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import PairwiseMotionWindow, Size

VARIANTS = shared.VARIANTS


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights, and a texture that moves on over a window."""
    return Recipe(
        shared.window_spec("pairwise_motion_window"),
        lambda: PairwiseMotionWindow(size),
        shared.window_inputs,
    )
