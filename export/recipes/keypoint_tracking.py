"""Recipe of `keypoint_tracking`: borders of the left ventricle's walls in a parasternal long axis.

This is the size `small`, with a quarter of the widths of `paper` (`keypoint_tracking_paper`).
Without `--weights` the weights are random (seeded) and the points are meaningless.
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
