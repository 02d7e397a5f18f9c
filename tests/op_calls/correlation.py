"""`correlation`: two feature maps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cineflow import reference
from tests.op_calls._op import Op
from tests.op_calls._values import (
    DEPTH,
    DEPTHS,
    FLOATS,
    SIDES,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    deep,
    features,
    zeros,
)

TYPICAL: Options = {"radius": 4, "dilation": 1, "scale": 0.125, "x_major": False}

#: Values that an argument refuses.
WRONG: Mapping[str, tuple[Any, ...]] = {
    "radius": (2.5, np.float32(2), np.ones(3)),
    "dilation": (2.5, np.ones(3)),
    "scale": (10**400, math.inf, np.ones(3)),
    "order": (3, np.ones(3)),
}


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return {
        "radius": pick((0, 1, 2, 3, 4, 5, 11)),
        "dilation": pick((1, 2, 3)),
        "scale": pick((1.0, 0.125, 0.3)),
        "x_major": pick((False, True)),
    }


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    return {name: features(rng, shape) for name in ("f1", "f2")}, options


def volume(shapes: Mapping[str, tuple[int, ...]], options: Options) -> tuple[int, ...]:
    """[N, (2r + 1)^2, H, W] or [N, (2r + 1)^3, D, H, W]."""
    batch, _, *size = shapes["f1"]
    return (batch, (2 * options["radius"] + 1) ** len(size), *size)


def choose_volume(pick: Pick, sides: Sides = SIDES) -> Options:
    return choose(pick, sides) | {"radius": pick((0, 1, 2, 3)), "depth": pick(DEPTHS)}


def draw_volume(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    size = deep(shape, options)
    return {name: features(rng, size) for name in ("f1", "f2")}, options


def words(inputs: Inputs, options: Options) -> Options:
    given = {name: value for name, value in options.items() if name != "x_major"}
    return given | {"order": "xy" if options["x_major"] else "yx"}


def gold(inputs: Inputs, options: Options) -> np.ndarray:
    return reference.correlation(**inputs, **words(inputs, options))


OP = Op(
    name="correlation",
    node="Correlation",
    tensors={"f1": FLOATS, "f2": FLOATS},
    draw=draw,
    shape=volume,
    magnitude=8,
    choose=choose,
    typical=TYPICAL,
    reference=gold,
    # `_C` has one correlation, with or without a flow.
    kernel=lambda options: options | {"flow": None, "clamp": False},
    words=words,
    barriers=True,
    wrong=WRONG,
    refusals=(
        ({"f2": zeros(1, 2, 4, 5)}, "f1's channels"),
        ({"f2": zeros(1, 3, 4, 5, dtype="float16")}, "f2 of dtype float32"),
        ({"f1": zeros(1, 3, 4, 5, dtype="uint8")}, "f1 of dtype float32"),
        ({"radius": 33}, "radius in 0..32"),
        ({"radius": -1}, "radius in 0..32"),
        ({"radius": 2.0}, "radius in 0..32; got 2.0"),
        ({"radius": None}, "radius in 0..32; got None"),
        ({"dilation": 0}, "dilation in 1..16"),
        ({"dilation": 2**40}, "dilation in 1..16"),
        ({"dilation": 1.5}, "dilation in 1..16; got 1.5"),
        ({"scale": 1e300}, "scale in"),
        ({"scale": np.ones(3)}, '"mean", "sqrt"'),
        ({"scale": "sum"}, '"mean", "sqrt"'),
        ({"scale": math.nan}, '"mean", "sqrt"'),
        ({"order": np.ones(3)}, '"yx" or "xy"'),
        ({"order": "zz"}, '"yx" or "xy"'),
        ({"out": zeros(1, 3, 4, 5)}, r".2 radius . 1.\^2"),
    ),
    huge=({"f1": (1, 1, 2**20, 2**20), "f2": (1, 1, 2**20, 2**20)},),
)

VOLUME = dataclasses.replace(
    OP,
    draw=draw_volume,
    choose=choose_volume,
    typical=TYPICAL | {"radius": 2, "depth": DEPTH},
    dimensions=3,
    barriers=False,
    refusals=(
        ({"f2": zeros(1, 3, 4, 5)}, r"f2 of shape \[N, C, D, H, W\]"),
        ({"f2": zeros(1, 2, 3, 4, 5)}, "f1's channels"),
        ({"f2": zeros(1, 3, 2, 4, 5)}, "f1's depth"),
        ({"f1": zeros(1, 3, 3, 4, 5, dtype="uint8")}, "f1 of dtype float32"),
        ({"f1": zeros(3, 4, 5)}, r"f1 of shape \[N, C, H, W\] or \[N, C, D, H, W\]"),
        ({"radius": 33}, "radius in 0..32"),
        ({"out": zeros(1, 25, 3, 4, 5)}, r".2 radius . 1.\^3"),
        ({"out": zeros(1, 125, 2, 4, 5)}, "f1's depth"),
    ),
    huge=({"f1": (1, 1, 2**20, 2**20, 1), "f2": (1, 1, 2**20, 2**20, 1)},),
)
