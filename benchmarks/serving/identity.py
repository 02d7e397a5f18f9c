"""Models that return the newest frame: what is left is the cost of getting there and back.

One for each feed, at 256x256, with equal bytes on the wire: uint8 in, float32 out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from cineflow.export.recipe import Recipe
from cineflow.spec import Feed, ModelSpec, TensorSpec

SIDE = 256
WINDOW = 4

_FRAME = (1, 1, SIDE, SIDE)
_CLIP = (1, WINDOW, 1, SIDE, SIDE)

#: The feed of each model, and its inputs: name, dtype, shape.
FEEDS: Mapping[str, tuple[Feed, tuple[tuple[str, str, tuple[int, ...]], ...]]] = {
    "frame": (Feed("frame", ("image",)), (("image", "float32", _FRAME),)),
    "pair": (
        Feed("pair", ("before", "image")),
        (("before", "float32", _FRAME), ("image", "float32", _FRAME)),
    ),
    "reference": (
        Feed("reference", ("before", "image")),
        (("before", "float32", _FRAME), ("image", "float32", _FRAME)),
    ),
    "window": (
        Feed("window", ("image",), length=WINDOW, time_axis=1),
        (("image", "float32", _CLIP),),
    ),
    "call": (Feed("call"), (("image", "uint8", _FRAME),)),
}


class Newest(nn.Module):
    """The only frame, or the last one of a window."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, -1] if image.ndim == 5 else image).float() + 0.0


class Second(nn.Module):
    """The second of two frames; the first takes part with the factor 0, so that it is used."""

    def forward(self, before: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return image + 0.0 * before


def identity(kind: str) -> Recipe:
    """The model of one feed."""
    feed, inputs = FEEDS[kind]

    def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        made = {}
        for name, dtype, shape in inputs:
            values = torch.randint(0, 256, shape, generator=generator)
            made[name] = values.to(getattr(torch, dtype))
        return made

    spec = ModelSpec(
        name=f"identity_{kind}",
        summary="The newest frame.",
        inputs=tuple(
            TensorSpec(name, dtype, shape, unit="grey level") for name, dtype, shape in inputs
        ),
        outputs=(TensorSpec("same", "float32", _FRAME, unit="grey level", tolerance=0.0),),
        feed=feed,
    )
    return Recipe(spec, Second if len(inputs) == 2 else Newest, example_inputs)
