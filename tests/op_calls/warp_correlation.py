"""`warp_correlation`: two feature maps and the flow that warps the second."""

from __future__ import annotations

import dataclasses

import numpy as np

from cineflow import reference
from tests.op_calls import correlation
from tests.op_calls._op import Op
from tests.op_calls._values import (
    BORDERS,
    DEPTH,
    F32,
    FLOATS,
    ROUNDING,
    SIDES,
    WRONG_BORDERS,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    motion,
    zeros,
)


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return correlation.choose(pick, sides) | {"border": pick(BORDERS)}


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    inputs, options = correlation.draw(rng, shape, options)
    return inputs | {"flow": motion(rng, shape[0], shape[2:])}, options


def choose_volume(pick: Pick, sides: Sides = SIDES) -> Options:
    return correlation.choose_volume(pick, sides) | {"border": pick(BORDERS)}


def draw_volume(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    inputs, options = correlation.draw_volume(rng, shape, options)
    return inputs | {"flow": motion(rng, shape[0], inputs["f1"].shape[2:])}, options


def gold(inputs: Inputs, options: Options) -> np.ndarray:
    return reference.warp_correlation(**inputs, **correlation.words(inputs, options))


OP = Op(
    name="warp_correlation",
    node="WarpCorrelation",
    tensors={"f1": FLOATS, "f2": FLOATS, "flow": F32},
    draw=draw,
    shape=correlation.volume,
    # The error of one warped feature, times the other, over 19 channels.
    magnitude=8 * 8 * 19,
    choose=choose,
    typical=correlation.TYPICAL | {"border": "zeros"},
    reference=gold,
    moves="flow",
    # Features that cancel leave 0 or 1e-7, and infinity times those is not the same.
    blur=ROUNDING["float32"],
    launcher="correlation",
    words=correlation.words,
    barriers=True,
    wrong={**correlation.WRONG, "border": WRONG_BORDERS},
    refusals=(({"flow": zeros(1, 2, 4, 6)}, "f1's width"),),
)

VOLUME = dataclasses.replace(
    OP,
    draw=draw_volume,
    choose=choose_volume,
    typical=correlation.TYPICAL | {"radius": 2, "depth": DEPTH, "border": "zeros"},
    dimensions=3,
    barriers=False,
    refusals=(
        ({"flow": zeros(1, 2, 4, 5)}, r"flow of shape \[N, 3, D, H, W\]"),
        ({"flow": zeros(1, 2, 3, 4, 5)}, "flow with 3 .x, y and z."),
        ({"flow": zeros(1, 3, 2, 4, 5)}, "f1's depth"),
        ({"flow": zeros(1, 3, 3, 4, 6)}, "f1's width"),
    ),
)
