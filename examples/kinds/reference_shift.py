"""Feed `reference`: how far the picture has moved since the reference frame, as a displacement.

The displacement is in normalised coordinates, as many networks give it; the stream makes pixels of
it. The shift is read off the centre of brightness, so a test knows it in advance.
"""

import torch
from torch import nn

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

HEIGHT = Axis("height", minimum=32, maximum=512, multiple=8)
WIDTH = Axis("width", minimum=32, maximum=512, multiple=8)
FRAME = (1, 1, HEIGHT, WIDTH)

SPEC = ModelSpec(
    name="reference_shift",
    summary="One displacement for the whole frame, from the centres of brightness.",
    inputs=(
        TensorSpec("fixed", "float32", FRAME, unit="grey level"),
        TensorSpec("moving", "float32", FRAME, unit="grey level"),
    ),
    outputs=(
        TensorSpec(
            "field",
            "float32",
            (1, 2, HEIGHT, WIDTH),
            unit="normalised",
            frame="reference frame's grid; channel 0 = x",
            tolerance=0.0005,
            role="displacement",
        ),
    ),
    feed=Feed("reference", ("fixed", "moving")),
)


class ReferenceShift(nn.Module):
    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        shift = _centre(moving) - _centre(fixed)
        return shift[:, :, None, None] + 0.0 * torch.cat([fixed, fixed], dim=1)


def _centre(image: torch.Tensor) -> torch.Tensor:
    """Centre of brightness [1, 2], x first, from -1 to 1 between the outer edges."""
    height, width = image.shape[-2:]
    y = (2 * torch.arange(height) + 1.0) / height - 1.0
    x = (2 * torch.arange(width) + 1.0) / width - 1.0
    light = image.sum(dim=(2, 3)) + 1e-6
    across = (image * x).sum(dim=(2, 3)) / light
    down = (image * y[:, None]).sum(dim=(2, 3)) / light
    return torch.cat([across, down], dim=1)


def build() -> nn.Module:
    return ReferenceShift()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, sizes["height"], sizes["width"])
    return {name: 255 * torch.rand(shape, generator=generator) for name in ("fixed", "moving")}
