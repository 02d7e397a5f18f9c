"""Recipe of `pairwise_motion_paper`, system D: the flow of frame pairs, with a ConvGRU.

Its weights are random (seeded) and its outputs are meaningless without `--weights`. The widths are
those of Qin et al.'s public code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import PAPER, PairwiseMotion
from cineflow.spec import FeedKind

SPEC = shared.recurrent_spec("pairwise_motion_paper", PAPER, FeedKind.PAIR)


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return PairwiseMotion(PAPER)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream."""
    return shared.recurrent_inputs(sizes, seed, PAPER)
