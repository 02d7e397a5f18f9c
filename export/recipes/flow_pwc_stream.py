"""Recipe of `flow_pwc_stream`: `flow_pwc` for streams, with the previous frame's features as state.

Its weights are random (seeded) and its flow is meaningless without `--weights`, which takes the
same checkpoints as `flow_pwc`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipe import Recipe
from cineflow.export.recipes import _flow_pwc as shared
from cineflow.export.recipes._cine_mr import BEGUN, current_frame_alone
from cineflow.models.flow_pwc import FlowPwcStream, Size, pwclite_keys
from cineflow.spec import FeedKind, ModelSpec, TensorSpec

VARIANTS = shared.VARIANTS


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights, and a frame in the middle of a stream."""
    return Recipe(
        _spec(size),
        lambda: FlowPwcStream(size),
        lambda sizes, seed: example_inputs(sizes, seed, size),
        own_keys=pwclite_keys,
    )


def example_inputs(sizes: Mapping[str, int], seed: int, size: Size) -> dict[str, torch.Tensor]:
    """A frame, and the features of the same speckle before it moved."""
    pair = shared.example_pair(sizes, seed)
    empty = [
        torch.zeros(1, channels, sizes["height"] // 2**level, sizes["width"] // 2**level)
        for level, channels in enumerate(size.channels[1:], start=2)
    ]
    with torch.inference_mode():
        _, begun, *features = FlowPwcStream(size).eval()(
            pair["previous"], torch.zeros(1, 1, 1, 1), *empty
        )
    made = {"current": pair["current"], "begun_in": begun.clone()}
    return made | {f"features{k}_in": one.clone() for k, one in enumerate(features, start=1)}


def _spec(size: Size) -> ModelSpec:
    return ModelSpec(
        name="flow_pwc_stream",
        summary="Dense motion from frame to frame: PWC-style flow network that encodes each once.",
        inputs=(shared.frame("current", "current"),),
        outputs=(shared.FLOW,),
        states=(
            BEGUN,
            *(
                TensorSpec(
                    f"features{level - 1}",
                    "float32",
                    (1, channels, shared.HEIGHT / 2**level, shared.WIDTH / 2**level),
                    unit="1",
                    tolerance=0.01,
                    description=f"Features of the previous frame at 1/{2**level} of its size.",
                )
                for level, channels in enumerate(size.channels[1:], start=2)
            ),
        ),
        weights=shared.WEIGHTS,
        source=shared.SOURCE,
        feed=current_frame_alone(FeedKind.PAIR),
    )
