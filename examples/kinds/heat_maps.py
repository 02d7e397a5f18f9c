"""Feed `frame`: a heat map for each of two points, at half the frame's size."""

import torch
from torch import nn
from torch.nn import functional

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

HEIGHT = Axis("height", minimum=32, maximum=512, multiple=8)
WIDTH = Axis("width", minimum=32, maximum=512, multiple=8)

SPEC = ModelSpec(
    name="heat_maps",
    summary="Where the frame is brightest and where it is darkest, after smoothing.",
    inputs=(TensorSpec("image", "float32", (1, 1, HEIGHT, WIDTH), unit="0..1"),),
    outputs=(
        TensorSpec(
            "maps",
            "float32",
            (1, 2, HEIGHT / 2, WIDTH / 2),
            unit="1",
            tolerance=0.1,
            role="heat_maps",
            names=("bright", "dark"),
            description="The tolerance is the distance of the peaks, in pixels of the frame.",
        ),
    ),
    feed=Feed("frame", ("image",)),
)


class HeatMaps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        line = torch.exp(-(torch.arange(-6.0, 7.0) ** 2) / (2 * 2.0**2))
        window = line[:, None] * line[None, :]
        self.register_buffer("window", (window / window.sum())[None, None])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        small = functional.avg_pool2d(image, 2)
        both = torch.cat([small, 1.0 - small], dim=0)
        padded = functional.pad(both - 0.5, (6, 6, 6, 6))
        return functional.conv2d(padded, self.window).transpose(0, 1)


def build() -> nn.Module:
    return HeatMaps()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    height, width = sizes["height"], sizes["width"]
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]

    def blob() -> torch.Tensor:
        at = torch.rand(2, generator=generator) * torch.tensor([height - 16.0, width - 16.0]) + 8
        return torch.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 32)

    return {"image": (0.5 + 0.5 * blob() - 0.5 * blob())[None, None].clamp(0, 1)}
