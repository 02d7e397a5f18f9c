"""Feed `frame` with a state at a quarter of the frame's size: a convolutional GRU."""

import torch
from torch import nn
from torch.nn import functional

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec, Weights

HEIGHT = Axis("height", minimum=32, maximum=512, multiple=8)
WIDTH = Axis("width", minimum=32, maximum=512, multiple=8)

SPEC = ModelSpec(
    name="conv_gru",
    summary="A memory of the frames so far, and how far this frame is from it.",
    inputs=(TensorSpec("image", "float32", (1, 1, HEIGHT, WIDTH), unit="-1..1"),),
    outputs=(
        TensorSpec("surprise", "float32", (1, 1, HEIGHT / 4, WIDTH / 4), unit="1", tolerance=0.001),
    ),
    states=(TensorSpec("memory", "float32", (1, 4, HEIGHT / 4, WIDTH / 4), "1", tolerance=0.001),),
    weights=Weights(source="seed 0", licence="Apache-2.0", trained=False),
    feed=Feed("frame", ("image",)),
)


class ConvGru(nn.Module):
    """h' = (1 - z) h + z tanh(W [x, r h]); Ballas et al. 2016 (arXiv 1511.06432)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(1, 4, 3, padding=1)
        self.gates = nn.Conv2d(8, 8, 3, padding=1)
        self.candidate = nn.Conv2d(8, 4, 3, padding=1)

    def forward(
        self, image: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        small = torch.relu(self.features(functional.avg_pool2d(image, 4)))
        update, reset = torch.sigmoid(self.gates(torch.cat([small, memory], dim=1))).chunk(2, dim=1)
        new = torch.tanh(self.candidate(torch.cat([small, reset * memory], dim=1)))
        after = (1 - update) * memory + update * new
        return (after - memory).abs().mean(dim=1, keepdim=True), after


def build() -> nn.Module:
    return ConvGru()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    height, width = sizes["height"], sizes["width"]
    return {
        "image": 2 * torch.rand((1, 1, height, width), generator=generator) - 1,
        "memory_in": torch.randn((1, 4, height // 4, width // 4), generator=generator) / 4,
    }
