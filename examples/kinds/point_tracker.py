"""Feed `window` with a reference frame: given points, followed through the last eight frames.

The points are given once, with the first frame, in pixels of the reference frame.
"""

import torch
from torch import nn

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

HEIGHT = Axis("height", minimum=32, maximum=512, multiple=8)
WIDTH = Axis("width", minimum=32, maximum=512, multiple=8)
FRAMES, POINTS = 8, 3

SPEC = ModelSpec(
    name="point_tracker",
    summary="Points that move with the centre of brightness.",
    inputs=(
        TensorSpec("first", "float32", (1, 1, HEIGHT, WIDTH), unit="0..1"),
        TensorSpec("clip", "float32", (1, FRAMES, 1, HEIGHT, WIDTH), unit="0..1"),
        TensorSpec("queries", "float32", (1, POINTS, 2), unit="px", frame="first frame, x first"),
    ),
    outputs=(
        TensorSpec(
            "tracks",
            "float32",
            (1, FRAMES, POINTS, 2),
            unit="px",
            frame="each frame of the window, x first",
            tolerance=0.02,
            role="points",
            names=("septum", "apex", "lateral wall"),
            time_axis=1,
        ),
    ),
    feed=Feed(
        "window",
        ("first", "clip"),
        length=FRAMES,
        hop=2,
        latency=1,
        time_axis=1,
        at_start=("queries",),
    ),
)


class PointTracker(nn.Module):
    def forward(
        self, first: torch.Tensor, clip: torch.Tensor, queries: torch.Tensor
    ) -> torch.Tensor:
        moved = _centre(clip) - _centre(first[:, None])
        return queries[:, None] + moved[:, :, None]


def _centre(clip: torch.Tensor) -> torch.Tensor:
    """Centre of brightness of each frame, [1, T, 2] px, x first."""
    height, width = clip.shape[-2:]
    y = torch.arange(height).float()
    x = torch.arange(width).float()
    light = clip.sum(dim=(3, 4)) + 1e-6
    across = (clip * x).sum(dim=(3, 4)) / light
    down = (clip * y[:, None]).sum(dim=(3, 4)) / light
    return torch.cat([across, down], dim=2)


def build() -> nn.Module:
    return PointTracker()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    height, width = sizes["height"], sizes["width"]
    return {
        "first": torch.rand((1, 1, height, width), generator=generator),
        "clip": torch.rand((1, FRAMES, 1, height, width), generator=generator),
        "queries": 32 * torch.rand((1, POINTS, 2), generator=generator),
    }
