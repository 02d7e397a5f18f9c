"""Recipe of `pairwise_motion`, system D: the flow of frame pairs, with a ConvGRU.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
`pairwise_motion_reference` gives a displacement, `pairwise_motion_window` has the transformer, and
`pairwise_motion_refine` is the second stage. Each also has a size `_paper`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import SMALL, PairwiseMotion
from cineflow.spec import FeedKind

SPEC = shared.recurrent_spec("pairwise_motion", SMALL, FeedKind.PAIR)


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return PairwiseMotion(SMALL)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream."""
    return shared.recurrent_inputs(sizes, seed, SMALL)
