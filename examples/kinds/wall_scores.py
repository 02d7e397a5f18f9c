"""Feed `call`: three short-axis cines and their landmarks in, a wall motion score out.

All arrays of a study come at once. The batch axis lets the server run several calls together.
"""

import torch
from torch import nn

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

BATCH = Axis("batch", minimum=1, maximum=8)
HEIGHT = Axis("height", minimum=32, maximum=256, multiple=8)
WIDTH = Axis("width", minimum=32, maximum=256, multiple=8)
SLICES, FRAMES = 3, 6

SPEC = ModelSpec(
    name="wall_scores",
    summary="Scores of four classes, from how much the brightness near the landmarks changes.",
    inputs=(
        TensorSpec("cines", "float32", (BATCH, SLICES, FRAMES, HEIGHT, WIDTH), unit="grey level"),
        TensorSpec(
            "landmarks", "float32", (BATCH, SLICES, 3, 2), unit="px", frame="first frame, x first"
        ),
    ),
    outputs=(
        TensorSpec(
            "scores",
            "float32",
            (BATCH, SLICES, 4),
            unit="probability",
            tolerance=0.001,
            role="scores",
            names=("normal", "hypokinetic", "akinetic", "dyskinetic"),
        ),
    ),
    feed=Feed("call"),
)


class WallScores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centres", torch.tensor([0.3, 0.2, 0.1, 0.0]))

    def forward(self, cines: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        height, width = cines.shape[-2:]
        y = torch.arange(height).float()[:, None]
        x = torch.arange(width).float()[None, :]
        centre = landmarks.mean(dim=2)
        down = y - centre[..., 1, None, None]
        across = x - centre[..., 0, None, None]
        near = torch.exp(-(down**2 + across**2) / (2 * 8.0**2))[:, :, None]
        curve = (cines * near).sum(dim=(3, 4)) / near.sum(dim=(3, 4)) / 255.0
        change = curve.amax(dim=2) - curve.amin(dim=2)
        return torch.softmax(-200.0 * (change[..., None] - self.centres) ** 2, dim=-1)


def build() -> nn.Module:
    return WallScores()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    batch, height, width = sizes["batch"], sizes["height"], sizes["width"]
    curve = torch.rand((batch, SLICES, FRAMES, 1, 1), generator=generator)
    grain = torch.rand((batch, SLICES, FRAMES, height, width), generator=generator)
    marks = torch.rand((batch, SLICES, 3, 2), generator=generator)
    return {
        "cines": 200 * curve + 50 * grain,
        "landmarks": marks * torch.tensor([float(width), float(height)]),
    }
