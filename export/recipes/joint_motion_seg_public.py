"""Recipe of `joint_motion_seg_public`: system B without recurrence, for public checkpoints.

    cineflow export joint_motion_seg_public --weights joint_model.pth --out build/seg

The file is a state dict of `Seg_Motion_Net` in cq615/Joint-Motion-Estimation-and-Segmentation; its
keys fit as they are. The repository has no file with weights, so none is named here. Without
`--weights` the weights are random (seeded) and the outputs are meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _joint_motion_seg as shared
from cineflow.models.joint_motion_seg import PAPER, JointMotionSeg

SPEC = shared.spec_of("joint_motion_seg_public", PAPER, recurrent=False)


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return JointMotionSeg(PAPER, recurrent=False)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream."""
    return shared.example_inputs(sizes, seed, PAPER, recurrent=False)
