"""Recipe of `joint_motion_seg_paper`: `joint_motion_seg` in the widths of its public code.

Without `--weights` its weights are random (seeded) and its outputs are meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _joint_motion_seg as shared
from cineflow.models.joint_motion_seg import PAPER, JointMotionSeg

SPEC = shared.spec_of("joint_motion_seg_paper", PAPER)


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return JointMotionSeg(PAPER)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream."""
    return shared.example_inputs(sizes, seed, PAPER)
