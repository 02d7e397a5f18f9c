"""Recipe of `pairwise_motion_refine`: the second stage, which corrects a series of fields.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
"""

from __future__ import annotations

from cineflow.export.recipe import Recipe
from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import RefineSeries, Size

VARIANTS = shared.VARIANTS


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights, and smooth fields of a few pixels."""
    return Recipe(
        shared.refine_spec("pairwise_motion_refine"),
        lambda: RefineSeries(size),
        shared.refine_inputs,
    )
