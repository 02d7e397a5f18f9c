"""`correlation_pyramid`: two feature maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

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

#: Values that an argument refuses.
WRONG: Mapping[str, tuple[Any, ...]] = {
    "levels": (2.5, np.float32(2), np.ones(3), 0, 5),
    "scale": (10**400, math.inf, np.ones(3)),
}


def small(shape: Shape) -> Shape:
    """Maps of fewer pixels: all pairs are many, and the reference is slow."""
    batch, channels, height, width = shape
    return batch, channels, min(height, 17), min(width, 20)


def fit_levels(options: Options, height: int, width: int) -> None:
    """Take no more levels than maps of that size have."""
    while options["levels"] > 1 and min(height, width) < 2 ** (options["levels"] - 1):
        options["levels"] -= 1


def length(height: int, width: int, levels: int) -> int:
    return sum((height >> level) * (width >> level) for level in range(levels))


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return {"levels": pick((1, 2, 3, 4)), "scale": pick((1.0, 0.125, 0.3))}


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    shape = small(shape)
    fit_levels(options, *shape[2:])
    return {name: features(rng, shape) for name in ("f1", "f2")}, options


def pyramid(shapes: Mapping[str, tuple[int, ...]], options: Options) -> tuple[int, ...]:
    """[N, H, W, L]."""
    batch, _, height, width = shapes["f1"]
    return batch, height, width, length(height, width, options["levels"])


OP = Op(
    name="correlation_pyramid",
    node="CorrelationPyramid",
    tensors={"f1": FLOATS, "f2": FLOATS},
    draw=draw,
    shape=pyramid,
    magnitude=8,
    choose=choose,
    typical={"levels": 2, "scale": 0.125},
    barriers=True,
    wrong=WRONG,
    refusals=(
        ({"f1": zeros(3, 4, 5)}, r"f1 of shape \[N, C, H, W\]"),
        ({"f1": zeros(1, 3, 2, 4, 5)}, r"f1 of shape \[N, C, H, W\]; got"),
        ({"f2": zeros(1, 2, 4, 5)}, "f1's channels"),
        ({"f2": zeros(1, 3, 5, 5)}, "f1's height"),
        ({"f2": zeros(1, 3, 4, 5, dtype="float16")}, "f2 of dtype float32"),
        ({"f1": zeros(1, 3, 4, 5, dtype="uint8")}, "f1 of dtype float32"),
        ({"levels": 4}, "at least 8 pixels a side for 4 levels; got 4 x 5"),
        ({"levels": 4, "out": zeros(1, 4, 5, 27)}, "levels of maps with 4 x 5 pixels in 1..3"),
        ({"levels": 0}, "levels in 1..4"),
        ({"levels": 2.0}, "levels in 1..4; got 2.0"),
        ({"scale": 1e300}, "scale in"),
        ({"scale": "sum"}, '"mean", "sqrt"'),
        ({"out": zeros(1, 4, 5, 20)}, "out with 24 .all levels."),
        ({"out": zeros(1, 4, 5, 24, dtype="uint8")}, "out of dtype float32"),
    ),
    huge=({"f1": (1, 1, 2**20, 2**20), "f2": (1, 1, 2**20, 2**20)},),
)
