"""Recipe of `motion_scoring`, system C: scores of regional wall motion, in its small size.

Without `--weights` its weights are random (seeded) and its scores are meaningless.
`motion_scoring_paper` has four times the widths.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _motion_scoring as shared
from cineflow.models.motion_scoring import SMALL, MotionScoring

SPEC = shared.spec_of("motion_scoring")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return MotionScoring(SMALL)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A phantom's beat in three slices."""
    return shared.example_study(sizes, seed)
