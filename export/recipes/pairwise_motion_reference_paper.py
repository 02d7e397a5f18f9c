"""Recipe of `pairwise_motion_reference_paper`: the displacement since a reference, ConvGRU.

Its weights are random (seeded) and its outputs are meaningless without `--weights`. The widths are
those of Qin et al.'s public code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import PAPER, PairwiseMotion
from cineflow.spec import FeedKind

SPEC = shared.recurrent_spec("pairwise_motion_reference_paper", PAPER, FeedKind.REFERENCE)


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return PairwiseMotion(PAPER, pairing="reference")


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream."""
    return shared.recurrent_inputs(sizes, seed, PAPER)
