"""What the recipes of `flow_pwc` share: its axes, frames, flow and example inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes._speckle import moved_speckle
from cineflow.models.flow_pwc import PAPER, SMALL
from cineflow.spec import Axis, Role, TensorSpec, Weights

#: The first is the size of the public checkpoints.
VARIANTS = {"paper": PAPER, "small": SMALL}

HEIGHT = Axis("height", minimum=64, maximum=1024, multiple=64)
WIDTH = Axis("width", minimum=64, maximum=1024, multiple=64)

WEIGHTS = Weights(source="seed 0", licence="Apache-2.0", trained=False)
SOURCE = "Oh et al., semi-supervised key points; layout of ARFlow's PWCLite"

FLOW = TensorSpec(
    "flow",
    dtype="float32",
    shape=(1, 2, HEIGHT, WIDTH),
    unit="px",
    frame="previous frame's grid; channel 0 = x right, 1 = y down",
    tolerance=0.05,
    role=Role.FLOW,
    description="current(p + flow(p)) matches previous(p), once trained.",
)


def frame(name: str, which: str) -> TensorSpec:
    """An input that takes one frame, grey levels 0..255."""
    return TensorSpec(
        name,
        dtype="float32",
        shape=(1, 1, HEIGHT, WIDTH),
        unit="grey level",
        frame="x right, y down",
        description=f"The {which} frame, 0..255.",
    )


def example_pair(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Speckle, and the same speckle moved by 1.5 px to the right and 0.75 px down."""
    previous, current = moved_speckle(sizes["height"], sizes["width"], seed)
    return {"previous": previous, "current": current}
