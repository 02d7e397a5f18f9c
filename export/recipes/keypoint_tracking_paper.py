"""Recipe of `keypoint_tracking_paper`: `keypoint_tracking` in the size `paper`.

SK-net has the widths of HRNet-W32, and TR-net those of PIPs. Without `--weights` the weights are
random (seeded) and the points are meaningless.
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
