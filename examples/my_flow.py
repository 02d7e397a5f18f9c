"""A two-frame network as a recipe: this file is all that cineflow needs."""

import torch
from torch import nn

from cineflow import ops
from cineflow.spec import Axis, ModelSpec, TensorSpec, Weights

HEIGHT = Axis("height", minimum=64, maximum=512, multiple=8)
WIDTH = Axis("width", minimum=64, maximum=512, multiple=8)
FRAME = (1, 1, HEIGHT, WIDTH)

SPEC = ModelSpec(
    name="my_flow",
    summary="Two passes of a small network; the second one sees the frame moved by the first.",
    inputs=(
        TensorSpec("previous", "float32", FRAME, unit="grey level"),
        TensorSpec("current", "float32", FRAME, unit="grey level"),
    ),
    outputs=(TensorSpec("flow", "float32", (1, 2, HEIGHT, WIDTH), unit="px", tolerance=0.01),),
    weights=Weights(source="seed 0", licence="Apache-2.0", trained=False),
)


class MyFlow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(2, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Conv2d(16, 2, 3, padding=1),
            nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False),
        )

    def forward(self, previous: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        first = self._look(previous, current)
        moved = ops.warp(current, first)  # pixels in, pixels out: no normalised coordinates
        return first + self._look(previous, moved)

    def _look(self, previous: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(torch.cat([previous, current], dim=1) / 255.0))


def build() -> nn.Module:
    return MyFlow()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, sizes["height"], sizes["width"])
    return {name: 255 * torch.rand(shape, generator=generator) for name in ("previous", "current")}
