"""Feed `frame`: a label for each pixel. Blood is dark, tissue grey, and the pericardium bright.

The network takes batches. A stream gives it one frame at a time: an axis that admits 1 has size 1.
"""

import torch
from torch import nn
from torch.nn import functional

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

BATCH = Axis("batch", minimum=1, maximum=8)
HEIGHT = Axis("height", minimum=32, maximum=512, multiple=8)
WIDTH = Axis("width", minimum=32, maximum=512, multiple=8)

SPEC = ModelSpec(
    name="segmentation",
    summary="Three classes by the local mean of the grey level.",
    inputs=(TensorSpec("image", "float32", (BATCH, 3, HEIGHT, WIDTH), unit="0..1"),),
    outputs=(
        TensorSpec(
            "labels",
            "int64",
            (BATCH, HEIGHT, WIDTH),
            unit="class",
            role="labels",
            names=("blood", "tissue", "pericardium"),
        ),
    ),
    feed=Feed("frame", ("image",)),
)


class Segmentation(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        grey = image.mean(dim=1, keepdim=True)
        padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
        smooth = functional.avg_pool2d(padded, 3, stride=1)
        scores = torch.cat([0.3 - smooth, 0.0 * smooth, smooth - 0.7], dim=1)
        return scores.argmax(dim=1)


def build() -> nn.Module:
    return Segmentation()


def example_inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    cells = (sizes["batch"], 1, sizes["height"] // 8, sizes["width"] // 8)
    coarse = torch.rand(cells, generator=generator)
    grey = functional.interpolate(coarse, scale_factor=8.0, mode="nearest")
    return {"image": grey.repeat(1, 3, 1, 1)}
