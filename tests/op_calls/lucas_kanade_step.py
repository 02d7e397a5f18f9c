"""`lucas_kanade_step`: two images, and the mask of their cells."""

from __future__ import annotations

import math

import numpy as np

from tests.op_calls._op import Op
from tests.op_calls._values import F32, SIDES, Inputs, Options, Pick, Shape, Sides, holed, zeros

TYPICAL: Options = {"cell": 2, "sigma": 1.5, "refinements": 2, "trust": 8.0, "ridge": 1.0}


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    return {
        "cell": pick((1, 2, 3, 4, 5)),
        "sigma": pick((0.25, 0.75, 1.5, 3.5, 7.0)),
        "refinements": pick((0, 0, 1, 2, 5)),
        "trust": pick((0.5, 8.0, 1000.0)),
        "ridge": pick((1.0, 16.0, 300.0)),
    }


def condition(options: Options) -> float:
    """4 where the window is one pixel, and M is almost singular.

    Its eigenvalues are then the ridge and up to 2 * 32^2. Differences of 2.4e-5 px were seen there,
    in random calls with every instruction set, and below 1e-5 everywhere else.
    """
    one_pixel = options["cell"] == 1 and options["sigma"] < 0.5
    return 4.0 if one_pixel and options["ridge"] < 16 else 1.0


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    """Images whose cells have the sides of `shape`; a few cells do not count, or are not valid."""
    batch, _, height, width = shape
    cell = options["cell"]
    size = (batch, 1, cell * height, cell * width)
    previous = rng.integers(0, 64, size).astype(np.float32)
    # A part of the change has the gradient of `previous`, and a part is noise.
    current = previous + 0.25 * (np.roll(previous, 1, axis=-1) - previous)
    current = np.float32(np.round(current + rng.normal(0, 2, size)))
    mask = rng.choice(np.float32([0, 0.5, 1, 1, 1, 2, -1]), (batch, 1, height, width))
    return {"previous": previous, "current": current, "mask": holed(rng, mask)}, options


OP = Op(
    name="lucas_kanade_step",
    node="LucasKanadeStep",
    tensors={"previous": F32, "current": F32, "mask": F32},
    draw=draw,
    shape=lambda shapes, options: (shapes["mask"][0], 2, *shapes["mask"][2:]),
    magnitude=10,
    condition=condition,
    choose=choose,
    typical=TYPICAL,
    result=F32,
    barriers=True,
    workspace=lambda shape: 25 * shape[0] * shape[2] * shape[3],
    launches=lambda options: 5 + options["refinements"] if options["refinements"] else 3,
    wrong={
        "cell": (2.5, np.float32(2), np.ones(3)),
        "refinements": (2.5, np.ones(3)),
        "sigma": (10**400, np.ones(3)),
        "trust": (10**400, np.ones(3)),
        "ridge": (10**400, np.ones(3)),
    },
    refusals=(
        ({"previous": zeros(4, 5)}, r"previous of shape \[N, 1, H, W\]"),
        ({"current": zeros(4, 5)}, r"current of shape \[N, 1, H, W\]"),
        ({"mask": zeros(4, 5)}, r"mask of shape \[N, 1, h, w\]"),
        ({"previous": zeros(1, 2, 8, 10)}, "previous with 1 .grey levels."),
        ({"current": zeros(1, 2, 8, 10)}, "current with 1 .grey levels."),
        ({"current": zeros(2, 1, 8, 10)}, "previous's batch"),
        ({"current": zeros(1, 1, 8, 12)}, "previous's width"),
        ({"mask": zeros(2, 1, 4, 5)}, "previous's batch"),
        ({"mask": zeros(1, 2, 4, 5)}, "mask with 1 .a weight."),
        ({"mask": zeros(1, 1, 4, 4)}, "cell times mask's width"),
        ({"mask": zeros(1, 1, 3, 5)}, "cell times mask's height"),
        ({"previous": zeros(1, 1, 8, 10, dtype="float16")}, "previous of dtype float32"),
        ({"current": zeros(1, 1, 8, 10, dtype="uint8")}, "current of dtype float32"),
        ({"mask": zeros(1, 1, 4, 5, dtype="float16")}, "mask of dtype float32"),
        ({"cell": 0}, "cell in 1..16"),
        ({"cell": 17}, "cell in 1..16"),
        ({"cell": 2.0}, "cell in 1..16; got 2.0"),
        ({"refinements": -1}, "refinements in 0..64"),
        ({"refinements": 65}, "refinements in 0..64"),
        ({"sigma": 0.0}, "sigma in 0.0625..12.5"),
        ({"sigma": 13.0}, "sigma in 0.0625..12.5"),
        ({"sigma": math.nan}, "sigma in 0.0625..12.5"),
        ({"trust": 0.0}, r"trust in 0.001..1e\+06"),
        ({"ridge": -1.0}, r"ridge in 0.001..1e\+06"),
        ({"ridge": math.inf}, r"ridge in 0.001..1e\+06"),
        ({"out": zeros(1, 1, 4, 5)}, "out with 2 .x and y."),
        ({"out": zeros(1, 2, 8, 10)}, "mask's height"),
    ),
    huge=(
        {
            "previous": (1, 1, 2**21, 2**21),
            "current": (1, 1, 2**21, 2**21),
            "mask": (1, 1, 2**20, 2**20),
        },
    ),
)
