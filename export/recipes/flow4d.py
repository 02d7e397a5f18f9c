"""Recipe of `flow4d`, system A: displacements of volumes, one after the other.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
`flow4d_window` sees a window of volumes at once. Each also has a size `_paper`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _flow4d as shared
from cineflow.models.flow4d import SMALL, Flow4d

SPEC = shared.causal_spec("flow4d")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return Flow4d(SMALL)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A volume in the middle of a stream."""
    return shared.causal_inputs(sizes, seed)
