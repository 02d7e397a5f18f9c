"""What the recipes of `pairwise_motion` share: all but the size of the network."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes._cine_mr import (
    BEGUN,
    HEIGHT,
    WIDTH,
    current_frame_alone,
    example_features,
    example_frames,
    frame,
    scales,
)
from cineflow.models.pairwise_motion import PAPER, SMALL, WINDOW, Size
from cineflow.spec import Axis, Feed, FeedKind, ModelSpec, Role, TensorSpec, Weights

#: `paper` has the widths of Qin et al.'s public code.
VARIANTS = {"small": SMALL, "paper": PAPER}

_UNTRAINED = Weights(source="seed 0", licence="Apache-2.0", trained=False)
_SOURCE = "US 2025/0259316 A1 (an application); widths of Qin et al.'s public code"
_REFERENCE_GRID = "reference frame's grid; channel 0 = x right, 1 = y down"

#: Frames of a series. Heights and widths of the second stage are multiples of 4.
TIME = Axis("time", minimum=2, maximum=64)


def recurrent_spec(name: str, size: Size, kind: FeedKind) -> ModelSpec:
    """First stage with the recurrent decoder, for the feed `pair` or `reference`."""
    flow = kind == FeedKind.PAIR
    role = Role.FLOW if flow else Role.DISPLACEMENT
    first = "previous" if flow else "reference"
    return ModelSpec(
        name=name,
        summary=f"Motion of cine-MR from the {first} frame, refined by the pairs before.",
        inputs=(frame("current", "The current frame."),),
        outputs=(
            TensorSpec(
                role.value,
                "float32",
                (1, 2, HEIGHT, WIDTH),
                unit="px",
                frame=f"{first} frame's grid; channel 0 = x right, 1 = y down",
                tolerance=0.05,
                role=role,
                description=f"current(p + {role.value}(p)) matches {first}(p), once trained.",
            ),
        ),
        states=(
            BEGUN,
            *scales("features", size.widths, f"Features of the {first} frame"),
            *scales("hidden", [size.hidden] * len(size.widths), "Hidden state of the pairs so far"),
        ),
        weights=_UNTRAINED,
        source=_SOURCE,
        view="cine-MR",
        feed=current_frame_alone(kind),
    )


def recurrent_inputs(sizes: Mapping[str, int], seed: int, size: Size) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream: features of another one, and small hidden states."""
    first, current = example_frames(sizes, seed)
    generator = torch.Generator().manual_seed(seed)
    made = {"current": current, "begun_in": torch.ones(1, 1, 1, 1)}
    for level, features in enumerate(example_features(first, size.widths)):
        made[f"features{level + 1}_in"] = features
        shape = (1, size.hidden, *features.shape[-2:])
        made[f"hidden{level + 1}_in"] = torch.rand(shape, generator=generator) - 0.5
    return made


def window_spec(name: str) -> ModelSpec:
    """First stage with the transformer: all frames of a window at once."""
    return ModelSpec(
        name=name,
        summary="Motion of cine-MR from the reference frame, all frames of a window at once.",
        inputs=(
            frame("reference", "The reference frame."),
            TensorSpec(
                "frames",
                "float32",
                (1, WINDOW, HEIGHT, WIDTH),
                unit="0..1",
                frame="x right, y down",
                description="The window, oldest frame first.",
            ),
        ),
        outputs=(
            TensorSpec(
                "fields",
                "float32",
                (1, WINDOW, 2, HEIGHT, WIDTH),
                unit="px",
                frame=_REFERENCE_GRID,
                tolerance=0.05,
                role=Role.DISPLACEMENT,
                time_axis=1,
                description="frame(p + field(p)) matches reference(p), once trained.",
            ),
        ),
        weights=_UNTRAINED,
        source=_SOURCE,
        view="cine-MR",
        # One window after the other: each frame is encoded once, and has its field in `fields`.
        feed=Feed(FeedKind.WINDOW, ("reference", "frames"), length=WINDOW, hop=WINDOW, time_axis=1),
    )


def window_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A texture, and a window in which it moves on from frame to frame."""
    moved = [example_frames(sizes, seed), *(example_frames(sizes, seed + k) for k in range(1, 5))]
    frames = [one for pair in moved for one in pair]
    return {"reference": frames[0], "frames": torch.cat(frames[1 : 1 + WINDOW], dim=1)}


def refine_spec(name: str) -> ModelSpec:
    """Second stage: a call with all fields of a series."""

    def fields(tensor: str, description: str, tolerance: float | None) -> TensorSpec:
        return TensorSpec(
            tensor,
            "float32",
            (TIME, 2, HEIGHT, WIDTH),
            unit="px",
            frame="grid of each pair's first image; channel 0 = x right, 1 = y down",
            tolerance=tolerance,
            description=description,
        )

    return ModelSpec(
        name=name,
        summary="Corrects the motion fields of a whole series with one another.",
        inputs=(fields("fields", "Motion of each pair of the series, in order.", None),),
        outputs=(fields("corrected", "The same fields, corrected.", 0.05),),
        weights=_UNTRAINED,
        source=_SOURCE,
        view="cine-MR",
        feed=Feed(FeedKind.CALL),
    )


def refine_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Smooth fields of a few pixels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 3.0 * torch.randn((sizes["time"], 2, 5, 5), generator=generator)
    size = (sizes["height"], sizes["width"])
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=True)
    return {"fields": smooth}
