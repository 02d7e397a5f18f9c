"""Recipe of `keypoint_tracking_paper`, points of the left ventricle's walls in a parasternal long axis.

The size `paper`: SK-net with the widths of HRNet-W32, TR-net with those of PIPs. Without `--weights`
its weights are random (seeded) and its points are meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes._keypoint_tracking import example_clip, spec_of

SPEC = spec_of("keypoint_tracking_paper")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    from cineflow.models.keypoint_tracking import PAPER, KeypointTracking

    return KeypointTracking(PAPER)


def example_inputs(sizes: Mapping[str, int], seed: int) -> Mapping[str, torch.Tensor]:
    """A phantom's beat, other speckle for each seed."""
    return example_clip(seed)
