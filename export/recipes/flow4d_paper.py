"""Recipe of `flow4d_paper`, system A: displacements of volumes, one after the other.

Its weights are random (seeded) and its outputs are meaningless without `--weights`. The width is
that of VoxelMorph's public code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _flow4d as shared
from cineflow.models.flow4d import PAPER, Flow4d

SPEC = shared.causal_spec("flow4d_paper")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return Flow4d(PAPER)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A volume in the middle of a stream."""
    return shared.causal_inputs(sizes, seed)
