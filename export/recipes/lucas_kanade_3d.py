"""Recipe of `lucas_kanade_3d`, the default tracker for volumes: no weights, nothing to train."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes._speckle import moved_volume
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec, Weights

DEPTH = Axis("depth", minimum=16, maximum=256, multiple=8)
HEIGHT = Axis("height", minimum=16, maximum=256, multiple=8)
WIDTH = Axis("width", minimum=16, maximum=256, multiple=8)


def _volume(name: str, which: str) -> TensorSpec:
    return TensorSpec(
        name,
        dtype="float32",
        shape=(1, 1, DEPTH, HEIGHT, WIDTH),
        unit="grey level",
        frame="x right, y down, z into the screen",
        description=f"The {which} volume, 0..255.",
    )


SPEC = ModelSpec(
    name="lucas_kanade_3d",
    summary="Dense motion between two volumes: pyramidal Lucas-Kanade with a Gaussian window.",
    inputs=(
        _volume("previous", "earlier"),
        _volume("current", "later"),
    ),
    outputs=(
        TensorSpec(
            "flow",
            dtype="float32",
            shape=(1, 3, DEPTH, HEIGHT, WIDTH),
            unit="px",
            frame="previous volume's grid in voxels; channel 0 = x right, 1 = y down, 2 = z",
            tolerance=0.01,
            description="current(p + flow(p)) matches previous(p).",
            role="flow",
        ),
    ),
    weights=Weights(source="none", licence="Apache-2.0", trained=False),
    source="Lucas and Kanade 1981; Bouguet 2001 (pyramid); Bigun and Granlund 1987 (3 x 3 tensor)",
    feed=Feed("pair", ("previous", "current"), volume=True),
)


def build() -> torch.nn.Module:
    """The tracker with its default window and pyramid."""
    from cineflow.models.lucas_kanade_3d import LucasKanade3d

    return LucasKanade3d()


def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Speckle, and the same speckle moved by 1.5, 0.75 and -0.5 voxels along x, y and z."""
    size = sizes["depth"], sizes["height"], sizes["width"]
    previous, current = moved_volume(size, seed)
    return {"previous": previous, "current": current}
