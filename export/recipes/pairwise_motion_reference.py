"""Recipe of `pairwise_motion_reference`: the displacement since a reference, ConvGRU.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
"""

from __future__ import annotations

from cineflow.export.recipe import Recipe
from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import PairwiseMotion, Size
from cineflow.spec import FeedKind

VARIANTS = shared.VARIANTS


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights, and a frame in the middle of a stream."""
    return Recipe(
        shared.recurrent_spec("pairwise_motion_reference", size, FeedKind.REFERENCE),
        lambda: PairwiseMotion(size, pairing="reference"),
        lambda sizes, seed: shared.recurrent_inputs(sizes, seed, size),
    )
