"""Recipe of `joint_motion_seg`, system B: motion and segmentation of cine-MR, in its small size.

Without `--weights` its weights are random (seeded) and its outputs are meaningless.
`joint_motion_seg_paper` has the widths of the source's public code; `joint_motion_seg_public` is
the variant without recurrence that loads its checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes import _joint_motion_seg as shared
from cineflow.models.joint_motion_seg import SMALL, JointMotionSeg

SPEC = shared.spec_of("joint_motion_seg", SMALL)


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    return JointMotionSeg(SMALL)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream."""
    return shared.example_inputs(sizes, seed, SMALL)
