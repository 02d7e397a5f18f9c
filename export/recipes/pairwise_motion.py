"""Recipe of `pairwise_motion`, system D: the flow of frame pairs, with a ConvGRU.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
`pairwise_motion_reference` gives a displacement, `pairwise_motion_window` has the transformer, and
`pairwise_motion_refine` is the second stage.
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
        shared.recurrent_spec("pairwise_motion", size, FeedKind.PAIR),
        lambda: PairwiseMotion(size),
        lambda sizes, seed: shared.recurrent_inputs(sizes, seed, size),
    )
