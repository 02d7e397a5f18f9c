"""`warp`: an image and a flow."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.op_calls._op import Op
from tests.op_calls._values import (
    BORDERS,
    DEPTH,
    DEPTHS,
    F32,
    IMAGES,
    SIDES,
    WRONG_BORDERS,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    deep,
    images,
    motion,
    pick_grid,
    pick_volume_grid,
    zeros,
)

BUFFER = zeros(200)


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return {"border": pick(BORDERS), "grid": pick_grid(pick, sides)}


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    size = options.pop("grid") or shape[2:]
    return {"src": images(rng, shape), "flow": motion(rng, shape[0], size)}, options


def choose_volume(pick: Pick, sides: Sides = SIDES) -> Options:
    return {
        "border": pick(BORDERS),
        "depth": pick(DEPTHS),
        "grid": pick_volume_grid(pick, sides),
    }


def draw_volume(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    volume = deep(shape, options)
    size = options.pop("grid") or volume[2:]
    return {"src": images(rng, volume), "flow": motion(rng, volume[0], size)}, options


OP = Op(
    name="warp",
    node="Warp",
    tensors={"src": IMAGES, "flow": F32},
    draw=draw,
    shape=lambda shapes, options: (*shapes["src"][:2], *shapes["flow"][2:]),
    magnitude=255,
    choose=choose,
    typical={"border": "zeros", "grid": None},
    moves="flow",
    any_size=("src",),
    wrong={"border": WRONG_BORDERS},
    refusals=(
        ({"src": zeros(3, 4, 5)}, r"\[N, C, H, W\]"),
        ({"src": zeros(1, 3, 4, 5, dtype="float64")}, "float32"),
        ({"src": [[1.0]]}, "NumPy, torch or CuPy"),
        ({"flow": zeros(1, 3, 4, 5)}, "2 .x and y."),
        ({"flow": zeros(2, 2, 4, 5)}, "src's batch"),
        ({"flow": zeros(1, 2, 4, 5, dtype="float16")}, "flow of dtype float32"),
        ({"border": "reflect"}, '"zeros" or "clamp"'),
        ({"border": None}, '"zeros" or "clamp"'),
        ({"border": np.array(["zeros", "x"])}, '"zeros" or "clamp"'),
        ({"out": zeros(1, 3, 4, 6)}, "flow's width"),
        ({"out": zeros(1, 3, 4, 5, dtype="uint8")}, "out of dtype float32"),
        (
            {"src": BUFFER[:60].reshape(1, 3, 4, 5), "out": BUFFER[30:90].reshape(1, 3, 4, 5)},
            "overlaps no input",
        ),
        (
            {"out": np.lib.stride_tricks.as_strided(BUFFER, (1, 3, 4, 5), (4, 4, 4, 4))},
            "do not overlap one another",
        ),
        ({"src": np.broadcast_to(np.float32(0), (1, 1, 1, 2**24))}, "sides below 16777216"),
        (
            {"src": np.lib.stride_tricks.as_strided(BUFFER, (1, 3, 2, 5), (0, 0, 2**33, 4))},
            "fewer than 2147483648",
        ),
    ),
    huge=({"flow": (1, 2, 2**20, 2**20)}, {"flow": (1, 2, 2**16, 2**15)}),
)

VOLUME = dataclasses.replace(
    OP,
    draw=draw_volume,
    choose=choose_volume,
    typical={"border": "zeros", "depth": DEPTH, "grid": None},
    dimensions=3,
    refusals=(
        ({"src": zeros(3, 3, 4, 5)}, r"flow of shape \[N, 2, h, w\]; got shape \[1, 3, 3, 4, 5\]"),
        ({"src": zeros(1, 3, 3, 3, 4, 5)}, r"src of shape \[N, C, H, W\] or \[N, C, D, H, W\]"),
        ({"flow": zeros(1, 2, 4, 5)}, r"flow of shape \[N, 3, d, h, w\]"),
        ({"flow": zeros(1, 2, 3, 4, 5)}, "3 .x, y and z."),
        ({"flow": zeros(2, 3, 3, 4, 5)}, "src's batch"),
        ({"flow": zeros(1, 3, 3, 4, 5, dtype="float16")}, "flow of dtype float32"),
        ({"border": "reflect"}, '"zeros" or "clamp"'),
        ({"out": zeros(1, 3, 4, 5)}, "out of rank 5; got out of rank 4"),
        ({"out": zeros(1, 3, 2, 4, 5)}, "flow's depth"),
        ({"out": zeros(1, 3, 3, 5, 5)}, "flow's height"),
        ({"out": zeros(1, 3, 3, 4, 6)}, "flow's width"),
        (
            {
                "src": BUFFER[:180].reshape(1, 3, 3, 4, 5),
                "out": BUFFER[19:199].reshape(1, 3, 3, 4, 5),
            },
            "overlaps no input",
        ),
        ({"src": np.broadcast_to(np.float32(0), (1, 1, 2**24, 1, 1))}, "sides below 16777216"),
        (
            {"src": np.lib.stride_tricks.as_strided(BUFFER, (1, 3, 2, 1, 5), (0, 0, 2**33, 0, 4))},
            "volumes of fewer than 2147483648",
        ),
    ),
    huge=({"flow": (1, 3, 2**20, 2**20, 1)}, {"flow": (1, 3, 2**11, 2**10, 2**10)}),
)
