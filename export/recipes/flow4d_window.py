"""Recipe of `flow4d_window`, system A: displacements of the volumes of a window.

Its weights are random (seeded) and its outputs are meaningless without `--weights`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _flow4d as shared
from cineflow.models.flow4d import SMALL, Flow4dWindow

SPEC = shared.window_spec("flow4d_window")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return Flow4dWindow(SMALL)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A window in the middle of a stream."""
    return shared.window_inputs(sizes, seed)
