"""`compose_flow`: a displacement and the next flow."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.op_calls._op import Op
from tests.op_calls._values import (
    DEPTH,
    F32,
    WRONG_BORDERS,
    Inputs,
    Options,
    Shape,
    deep,
    motion,
    zeros,
)
from tests.op_calls.warp import choose, choose_volume


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    size = options.pop("grid") or shape[2:]
    flow = rng.normal(0, 4, (shape[0], 2, *shape[2:])).astype(np.float32)
    return {"displacement": motion(rng, shape[0], size), "flow": flow}, options


def draw_volume(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    volume = deep(shape, options)
    size = options.pop("grid") or volume[2:]
    flow = rng.normal(0, 4, (volume[0], 3, *volume[2:])).astype(np.float32)
    return {"displacement": motion(rng, volume[0], size), "flow": flow}, options


OP = Op(
    name="compose_flow",
    node="ComposeFlow",
    tensors={"displacement": F32, "flow": F32},
    draw=draw,
    shape=lambda shapes, options: shapes["displacement"],
    magnitude=16,
    choose=choose,
    typical={"border": "zeros", "grid": None},
    result=F32,
    moves="displacement",
    any_size=("flow",),
    wrong={"border": WRONG_BORDERS},
    refusals=(
        ({"flow": zeros(2, 2, 4, 5)}, "displacement's batch"),
        ({"displacement": zeros(1, 3, 4, 5)}, "displacement with 2 .x and y."),
        ({"flow": zeros(1, 2, 4, 5, dtype="float16")}, "flow of dtype float32"),
        ({"border": None}, '"zeros" or "clamp"'),
    ),
    huge=({"displacement": (1, 2, 2**20, 2**20)},),
)

VOLUME = dataclasses.replace(
    OP,
    draw=draw_volume,
    choose=choose_volume,
    typical={"border": "zeros", "depth": DEPTH, "grid": None},
    dimensions=3,
    refusals=(
        ({"flow": zeros(1, 2, 4, 5)}, r"flow of shape \[N, 3, d, h, w\]"),
        ({"flow": zeros(2, 3, 3, 4, 5)}, "displacement's batch"),
        ({"displacement": zeros(1, 2, 3, 4, 5)}, "displacement with 3 .x, y and z."),
        ({"out": zeros(1, 3, 2, 4, 5)}, "displacement's depth"),
    ),
    huge=({"displacement": (1, 3, 2**20, 2**20, 1)},),
)
