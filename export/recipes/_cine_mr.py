"""Cine-MR example inputs and specs that several recipes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from cineflow.export.recipes._speckle import moved_speckle
from cineflow.models.blocks import MULTIPLE, encoder_pyramid, pyramid_of, seed_weights
from cineflow.spec import Axis, Feed, TensorSpec

#: The sources' size is 192 x 192. The networks are fully convolutional.
HEIGHT = Axis("height", minimum=32, maximum=512, multiple=MULTIPLE)
WIDTH = Axis("width", minimum=32, maximum=512, multiple=MULTIPLE)


def frame(name: str, description: str) -> TensorSpec:
    """An input that takes one frame, 0..1."""
    return TensorSpec(
        name,
        "float32",
        (1, 1, HEIGHT, WIDTH),
        unit="0..1",
        frame="x right, y down",
        description=description,
    )


def scales(name: str, widths: Sequence[int], what: str) -> tuple[TensorSpec, ...]:
    """One state tensor for each scale: `<name>1` is the finest."""
    return tuple(
        TensorSpec(
            f"{name}{level + 1}",
            "float32",
            (1, width, HEIGHT / 2**level, WIDTH / 2**level),
            unit="1",
            tolerance=0.01,
            description=f"{what} at 1/{2**level} of the resolution.",
        )
        for level, width in enumerate(widths)
    )


#: Whether a stream has begun.
BEGUN = TensorSpec(
    "begun",
    "float32",
    (1, 1, 1, 1),
    unit="1",
    tolerance=0.0,
    description="0 before the first frame, 1 after it.",
)


def current_frame_alone(kind: str) -> Feed:
    """The feed of a model that keeps the features of the other frame in its state."""
    return Feed(kind, ("current",))


def example_frames(sizes: Mapping[str, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two frames [1, 1, H, W], 0..1: a smooth texture, and the same moved by 1.5 and 0.75 px."""
    before, after = moved_speckle(sizes["height"], sizes["width"], seed)
    return before / 255.0, after / 255.0


def example_features(image: torch.Tensor, widths: Sequence[int]) -> list[torch.Tensor]:
    """Features of a frame as an untrained encoder gives them, finest scale first."""
    encoder = encoder_pyramid(widths).eval()
    seed_weights(encoder, 1)
    with torch.inference_mode():
        return [one.clone() for one in pyramid_of(encoder, image)]
