"""Recipe of `motion_scoring_paper`: `motion_scoring` in the size `paper`.

Without `--weights` its weights are random (seeded) and its scores are meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _motion_scoring as shared
from cineflow.models.motion_scoring import PAPER, MotionScoring

SPEC = shared.spec_of("motion_scoring_paper")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return MotionScoring(PAPER)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A phantom's beat in three slices."""
    return shared.example_study(sizes, seed)
