"""Recipe of `pairwise_motion_window_paper`: displacements of a window, temporal transformer.

Its weights are random (seeded) and its outputs are meaningless without `--weights`. The widths are
those of Qin et al.'s public code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _pairwise_motion as shared
from cineflow.models.pairwise_motion import PAPER, PairwiseMotionWindow

SPEC = shared.window_spec("pairwise_motion_window_paper")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return PairwiseMotionWindow(PAPER)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A texture, and a window in which it moves."""
    return shared.window_inputs(sizes, seed)
