"""Feed `pair`: a two-frame network that warps with F.grid_sample in normalised coordinates.

It tries nine shifts and returns their mean, weighted by how well each one matches: no weights to
train, and a result that is known where the frames are shifted copies.
"""

import torch
from torch import nn
from torch.nn import functional

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

HEIGHT = Axis("height", minimum=32, maximum=512, multiple=8)
WIDTH = Axis("width", minimum=32, maximum=512, multiple=8)
FRAME = (1, 1, HEIGHT, WIDTH)

SPEC = ModelSpec(
    name="grid_sample_flow",
    summary="One shift for the whole frame, from nine that are tried.",
    inputs=(
        TensorSpec("previous", "float32", FRAME, unit="0..1"),
        TensorSpec("current", "float32", FRAME, unit="0..1"),
    ),
    outputs=(
        TensorSpec(
            "motion", "float32", (1, 2, HEIGHT, WIDTH), unit="px", tolerance=0.01, role="flow"
        ),
        TensorSpec(
            "mismatch",
            "float32",
            (1, 1, HEIGHT, WIDTH),
            unit="0..1",
            tolerance=0.001,
            description="Difference of the frames that the motion leaves.",
        ),
    ),
    feed=Feed("pair", ("previous", "current")),
)


class GridSampleFlow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        shifts = [(x, y) for y in (-1.0, 0.0, 1.0) for x in (-1.0, 0.0, 1.0)]
        self.register_buffer("shifts", torch.tensor(shifts))

    def forward(
        self, previous: torch.Tensor, current: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = previous.shape[-2:]
        y = (2 * torch.arange(height) + 1.0) / height - 1.0  # arange keeps the size dynamic
        x = (2 * torch.arange(width) + 1.0) / width - 1.0
        here = torch.stack([x[None, :] + 0 * y[:, None], y[:, None] + 0 * x[None, :]], dim=-1)
        pixel = torch.stack([2.0 / (0 * x[:1] + width), 2.0 / (0 * y[:1] + height)], dim=-1)
        moved = [
            functional.grid_sample(current, (here + shift * pixel)[None], align_corners=False)
            for shift in self.shifts
        ]
        difference = (torch.cat(moved, dim=1) - previous).abs()
        inner = difference[..., 2:-2, 2:-2].mean(dim=(2, 3))
        weight = torch.softmax(-1000.0 * inner, dim=1)
        shift = weight @ self.shifts
        motion = shift[:, :, None, None] + 0.0 * torch.cat([previous, previous], dim=1)
        return motion, (weight[:, :, None, None] * difference).sum(dim=1, keepdim=True)


def build() -> nn.Module:
    return GridSampleFlow()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    texture = torch.rand((1, 1, sizes["height"], sizes["width"] + 1), generator=generator)
    return {"previous": texture[..., 1:].clone(), "current": texture[..., :-1].clone()}
