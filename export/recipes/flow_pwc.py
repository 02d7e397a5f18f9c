"""Recipe of `flow_pwc`, a PWC-style flow network: an example of a learned model.

Without `--weights` its weights are random (seeded) and its flow is meaningless; it then serves for
export and speed only. `--weights` also takes a public checkpoint of ARFlow's PWCLite.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipe import Recipe
from cineflow.export.recipes._speckle import moved_speckle
from cineflow.models.flow_pwc import PAPER, SMALL, FlowPwc, Size, pwclite_keys
from cineflow.spec import Axis, ModelSpec, TensorSpec, Weights

#: The first is the size of the public checkpoints.
VARIANTS = {"paper": PAPER, "small": SMALL}

HEIGHT = Axis("height", minimum=64, maximum=1024, multiple=64)
WIDTH = Axis("width", minimum=64, maximum=1024, multiple=64)


def _frame(name: str, which: str) -> TensorSpec:
    return TensorSpec(
        name,
        dtype="float32",
        shape=(1, 1, HEIGHT, WIDTH),
        unit="grey level",
        frame="x right, y down",
        description=f"The {which} frame, 0..255.",
    )


_SPEC = ModelSpec(
    name="flow_pwc",
    summary="Dense motion between two frames: PWC-style flow network.",
    inputs=(_frame("previous", "earlier"), _frame("current", "later")),
    outputs=(
        TensorSpec(
            "flow",
            dtype="float32",
            shape=(1, 2, HEIGHT, WIDTH),
            unit="px",
            frame="previous frame's grid; channel 0 = x right, 1 = y down",
            tolerance=0.05,
            description="current(p + flow(p)) matches previous(p), once trained.",
        ),
    ),
    weights=Weights(source="seed 0", licence="Apache-2.0", trained=False),
    source="Oh et al., semi-supervised key points; layout of ARFlow's PWCLite",
)


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights."""
    return Recipe(_SPEC, lambda: FlowPwc(size), example_inputs, own_keys=pwclite_keys)


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Speckle, and the same speckle moved by 1.5 px to the right and 0.75 px down."""
    previous, current = moved_speckle(sizes["height"], sizes["width"], seed)
    return {"previous": previous, "current": current}
