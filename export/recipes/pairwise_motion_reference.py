"""Recipe of `pairwise_motion_reference`: the displacement since a reference, ConvGRU.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import SMALL, PairwiseMotion
from cineflow.spec import FeedKind

SPEC = shared.recurrent_spec("pairwise_motion_reference", SMALL, FeedKind.REFERENCE)


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return PairwiseMotion(SMALL, pairing="reference")


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream."""
    return shared.recurrent_inputs(sizes, seed, SMALL)
