"""`feature_pyramid`: a feature map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.op_calls import correlation_pyramid as pyramids
from tests.op_calls._op import Op
from tests.op_calls._values import (
    FLOATS,
    SIDES,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    features,
    zeros,
)


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return {"levels": pick((1, 2, 3, 4))}


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    pyramids.fit_levels(options, *shape[2:])
    return {"f2": features(rng, shape)}, options


def level_rows(height: int, levels: int) -> int:
    return sum(height >> level for level in range(levels))


def stacked(shapes: Mapping[str, tuple[int, ...]], options: Options) -> tuple[int, ...]:
    """[N, C, R, W]."""
    batch, channels, height, width = shapes["f2"]
    return batch, channels, level_rows(height, options["levels"]), width


OP = Op(
    name="feature_pyramid",
    node="FeaturePyramid",
    tensors={"f2": FLOATS},
    draw=draw,
    shape=stacked,
    magnitude=8,
    choose=choose,
    typical={"levels": 2},
    wrong={"levels": pyramids.WRONG["levels"]},
    refusals=(
        ({"f2": zeros(3, 4, 5)}, r"f2 of shape \[N, C, H, W\]"),
        ({"f2": zeros(1, 3, 4, 5, dtype="uint8")}, "f2 of dtype float32"),
        ({"levels": 4}, "at least 8 pixels a side for 4 levels; got 4 x 5"),
        ({"out": zeros(1, 3, 4, 5)}, "out with 6 .rows of all levels."),
    ),
    huge=({"f2": (1, 1, 2**20, 2**20)},),
)
