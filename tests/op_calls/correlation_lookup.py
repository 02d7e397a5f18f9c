"""`correlation_lookup`: a pyramid and the positions to look up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.op_calls import correlation_pyramid as pyramids
from tests.op_calls._op import Op
from tests.op_calls._values import (
    F32,
    FLOATS,
    SIDES,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    features,
    motion,
    zeros,
)

WRONG = {
    "levels": pyramids.WRONG["levels"],
    "radius": (2.5, np.float32(2), np.ones(3), -1, 9),
}


def small(shape: Shape) -> Shape:
    """Maps of fewer pixels yet, because the reference samples them one by one."""
    batch, channels, height, width = shape
    return batch, channels, min(height, 9), min(width, 20)


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return {"levels": pick((1, 2, 3, 4)), "radius": pick((0, 1, 2, 3, 4))}


def positions(rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
    """A few pixels from each pixel, some of it nasty."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return motion(rng, batch, (height, width)) + np.stack([x, y])


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    batch, _, height, width = small(shape)
    pyramids.fit_levels(options, height, width)
    values = (batch, height, width, pyramids.length(height, width, options["levels"]))
    return {
        "pyramid": features(rng, values),
        "coords": positions(rng, batch, height, width),
    }, options


def windows(shapes: Mapping[str, tuple[int, ...]], options: Options) -> tuple[int, ...]:
    """[N, levels (2r + 1)^2, H, W]."""
    batch, _, height, width = shapes["coords"]
    return batch, options["levels"] * (2 * options["radius"] + 1) ** 2, height, width


OP = Op(
    name="correlation_lookup",
    node="CorrelationLookup",
    tensors={"pyramid": FLOATS, "coords": F32},
    draw=draw,
    shape=windows,
    magnitude=16,  # neighbours differ by that much
    choose=choose,
    typical={"levels": 2, "radius": 1},
    moves="coords",
    wrong=WRONG,
    refusals=(
        ({"pyramid": zeros(4, 5, 24)}, r"pyramid of shape \[N, H, W, L\]"),
        ({"pyramid": zeros(1, 4, 5, 23)}, "pyramid with 24 .all levels."),
        ({"pyramid": zeros(1, 4, 5, 24, dtype="uint8")}, "pyramid of dtype float32"),
        ({"coords": zeros(1, 3, 4, 5)}, "2 .x and y."),
        ({"coords": zeros(2, 2, 4, 5)}, "pyramid's batch"),
        ({"coords": zeros(1, 2, 4, 6)}, "pyramid's width"),
        ({"coords": zeros(1, 2, 4, 5, dtype="float16")}, "coords of dtype float32"),
        ({"levels": 4}, "at least 8 pixels a side for 4 levels; got 4 x 5"),
        ({"radius": 9}, "radius in 0..8"),
        ({"radius": 1.0}, "radius in 0..8; got 1.0"),
        ({"out": zeros(1, 9, 4, 5)}, r"levels .2 radius . 1.\^2"),
    ),
    huge=({"pyramid": (1, 2**20, 2**20, 1), "coords": (1, 2, 2**20, 2**20)},),
)
