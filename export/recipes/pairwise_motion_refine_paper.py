"""Recipe of `pairwise_motion_refine_paper`: the second stage, which corrects a series of fields.

Its weights are random (seeded) and its outputs are meaningless without `--weights`. The widths are
those of Qin et al.'s public code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import PAPER, RefineSeries

SPEC = shared.refine_spec("pairwise_motion_refine_paper")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return RefineSeries(PAPER)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Smooth fields of a few pixels."""
    return shared.refine_inputs(sizes, seed)
