"""`correlation_on_demand`: a feature map, the levels of another, and the positions to look up."""

from __future__ import annotations

import numpy as np

from tests.op_calls import correlation_lookup as lookups
from tests.op_calls import correlation_pyramid as pyramids
from tests.op_calls._op import Op
from tests.op_calls._values import (
    F32,
    FLOATS,
    ROUNDING,
    SIDES,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    features,
    zeros,
)
from tests.op_calls.feature_pyramid import level_rows


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return lookups.choose(pick, sides) | {"scale": pick((1.0, 0.125, 0.3))}


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    batch, channels, height, width = lookups.small(shape)
    pyramids.fit_levels(options, height, width)
    rows = level_rows(height, options["levels"])
    return {
        "f1": features(rng, (batch, channels, height, width)),
        "features": features(rng, (batch, channels, rows, width)),
        "coords": lookups.positions(rng, batch, height, width),
    }, options


OP = Op(
    name="correlation_on_demand",
    node="CorrelationOnDemand",
    tensors={"f1": FLOATS, "features": FLOATS, "coords": F32},
    draw=draw,
    shape=lookups.windows,
    magnitude=8 * 8 * 19,  # the largest product, over 19 channels
    choose=choose,
    typical={"levels": 2, "radius": 1, "scale": 0.125},
    moves="coords",
    # Products that cancel leave 0 or 1e-7, and infinity times those is not the same.
    blur=ROUNDING["float32"],
    barriers=True,
    wrong=lookups.WRONG | {"scale": pyramids.WRONG["scale"]},
    refusals=(
        ({"f1": zeros(3, 4, 5)}, r"f1 of shape \[N, C, H, W\]"),
        ({"features": zeros(1, 2, 6, 5)}, "f1's channels"),
        ({"features": zeros(1, 3, 4, 5)}, "features with 6 .rows of all levels."),
        ({"features": zeros(1, 3, 6, 4)}, "f1's width"),
        ({"features": zeros(1, 3, 6, 5, dtype="float16")}, "features of dtype float32"),
        ({"coords": zeros(1, 3, 4, 5)}, "2 .x and y."),
        ({"coords": zeros(1, 2, 4, 6)}, "f1's width"),
        ({"levels": 4}, "at least 8 pixels a side for 4 levels; got 4 x 5"),
        ({"radius": 9}, "radius in 0..8"),
        ({"scale": 1e300}, "scale in"),
        ({"scale": "sum"}, '"mean", "sqrt"'),
        ({"out": zeros(1, 9, 4, 5)}, r"levels .2 radius . 1.\^2"),
    ),
    huge=(
        {
            "f1": (1, 1, 2**20, 2**20),
            "features": (1, 1, 2**21, 2**20),
            "coords": (1, 2, 2**20, 2**20),
        },
    ),
)
