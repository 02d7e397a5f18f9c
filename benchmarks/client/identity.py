"""A model that returns an 800 x 600 frame as float16: what is left is the cost of the way."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from cineflow.export.recipe import Recipe
from cineflow.spec import Feed, ModelSpec, TensorSpec

SHAPE = (1, 1, 600, 800)


class Half(nn.Module):
    """The frame as float16."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.half()


def recipe() -> Recipe:
    """The model."""

    def example_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {"image": torch.randint(0, 256, SHAPE, generator=generator).float()}

    spec = ModelSpec(
        name="identity_half",
        summary="The frame, as float16.",
        inputs=(TensorSpec("image", "float32", SHAPE, unit="grey level"),),
        outputs=(TensorSpec("same", "float16", SHAPE, unit="grey level", tolerance=0.0),),
        feed=Feed("frame", ("image",)),
    )
    return Recipe(spec, Half, example_inputs)
