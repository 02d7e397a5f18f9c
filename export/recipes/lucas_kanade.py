"""Recipe of `lucas_kanade`, the default tracker: no weights, nothing to train."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes._speckle import moved_speckle
from cineflow.spec import Axis, ModelSpec, TensorSpec, Weights

HEIGHT = Axis("height", minimum=64, maximum=1024, multiple=16)
WIDTH = Axis("width", minimum=64, maximum=1024, multiple=16)


def _frame(name: str, which: str) -> TensorSpec:
    return TensorSpec(
        name,
        dtype="float32",
        shape=(1, 1, HEIGHT, WIDTH),
        unit="grey level",
        frame="x right, y down",
        description=f"The {which} frame, 0..255.",
    )


SPEC = ModelSpec(
    name="lucas_kanade",
    summary="Dense motion between two frames: pyramidal Lucas-Kanade with a Gaussian window.",
    inputs=(
        _frame("previous", "earlier"),
        _frame("current", "later"),
    ),
    outputs=(
        TensorSpec(
            "flow",
            dtype="float32",
            shape=(1, 2, HEIGHT, WIDTH),
            unit="px",
            frame="previous frame's grid; channel 0 = x right, 1 = y down",
            tolerance=0.01,
            description="current(p + flow(p)) matches previous(p).",
        ),
    ),
    weights=Weights(source="none", licence="Apache-2.0", trained=False),
    source="Lucas and Kanade 1981; Bouguet 2001 (pyramid)",
)


def build() -> torch.nn.Module:
    """The tracker with its default window and pyramid."""
    from cineflow.models.lucas_kanade import LucasKanade

    return LucasKanade()


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Speckle, and the same speckle moved by 1.5 px to the right and 0.75 px down."""
    previous, current = moved_speckle(sizes["height"], sizes["width"], seed)
    return {"previous": previous, "current": current}
