"""Recipe of `keypoint_tracking`, points of the left ventricle's walls in a parasternal long axis.

The size `small`: a quarter of the widths of `paper`. Without `--weights`
its weights are random (seeded) and its points are meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes._keypoint_tracking import example_clip, spec_of

SPEC = spec_of("keypoint_tracking")


def build() -> torch.nn.Module:
    """The network with its seeded weights."""
    from cineflow.models.keypoint_tracking import SMALL, KeypointTracking

    return KeypointTracking(SMALL)


def example_inputs(sizes: Mapping[str, int], seed: int) -> Mapping[str, torch.Tensor]:
    """A phantom's beat, other speckle for each seed."""
    return example_clip(seed)
