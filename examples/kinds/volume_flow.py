"""Feed `pair` of volumes: 3-D flow with the rank-5 form of F.grid_sample."""

import torch
from torch import nn
from torch.nn import functional

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

DEPTH = Axis("depth", minimum=8, maximum=128, multiple=8)
HEIGHT = Axis("height", minimum=16, maximum=128, multiple=8)
WIDTH = Axis("width", minimum=16, maximum=128, multiple=8)
VOLUME = (1, 1, DEPTH, HEIGHT, WIDTH)

SPEC = ModelSpec(
    name="volume_flow",
    summary="One shift for the whole volume, from seven that are tried.",
    inputs=(
        TensorSpec("previous", "float32", VOLUME, unit="0..1"),
        TensorSpec("current", "float32", VOLUME, unit="0..1"),
    ),
    outputs=(
        TensorSpec(
            "motion",
            "float32",
            (1, 3, DEPTH, HEIGHT, WIDTH),
            unit="px",
            tolerance=0.01,
            role="flow",
        ),
    ),
    feed=Feed("pair", ("previous", "current"), volume=True),
)


class VolumeFlow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        one = torch.eye(3)
        self.register_buffer("shifts", torch.cat([torch.zeros(1, 3), one, -one]))

    def forward(self, previous: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        depth, height, width = previous.shape[-3:]
        z = ((2 * torch.arange(depth) + 1.0) / depth - 1.0)[:, None, None]
        y = ((2 * torch.arange(height) + 1.0) / height - 1.0)[None, :, None]
        x = ((2 * torch.arange(width) + 1.0) / width - 1.0)[None, None, :]
        nothing = 0 * x + 0 * y + 0 * z
        here = torch.stack([x + nothing, y + nothing, z + nothing], dim=-1)
        steps = [
            2.0 / (0 * side.flatten()[:1] + n) for side, n in ((x, width), (y, height), (z, depth))
        ]
        pixel = torch.cat(steps)
        moved = [
            functional.grid_sample(current, (here + shift * pixel)[None], align_corners=False)
            for shift in self.shifts
        ]
        difference = (torch.cat(moved, dim=1) - previous).abs()[..., 1:-1, 1:-1, 1:-1]
        weight = torch.softmax(-1000.0 * difference.mean(dim=(2, 3, 4)), dim=1)
        shift = weight @ self.shifts
        return shift[:, :, None, None, None] + 0.0 * torch.cat([previous] * 3, dim=1)


def build() -> nn.Module:
    return VolumeFlow()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, sizes["depth"], sizes["height"] + 1, sizes["width"])
    texture = torch.rand(shape, generator=generator)
    return {"previous": texture[..., 1:, :].clone(), "current": texture[..., :-1, :].clone()}
