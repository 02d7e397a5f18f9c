"""`identity`: an image."""

from __future__ import annotations

import numpy as np

from tests.op_calls._op import Op
from tests.op_calls._values import IMAGES, Inputs, Options, Shape, images, zeros


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    return {"src": images(rng, shape)}, options


OP = Op(
    name="identity",
    node="Identity",
    tensors={"src": IMAGES},
    draw=draw,
    shape=lambda shapes, options: shapes["src"],
    magnitude=255,
    refusals=(
        ({"src": [1.0]}, "src as a NumPy, torch or CuPy array"),
        ({"src": zeros(2, 2)}, r"src of shape \[N, C, H, W\]"),
        ({"src": zeros(1, 1, 2, 2, dtype="float64")}, "src of float32, float16, bfloat16 or uint8"),
        ({"out": zeros(1, 3, 5, 4)}, "src's height"),
        ({"out": zeros(1, 3, 4, 5, dtype="uint8")}, "out of dtype float32"),
    ),
    huge=({"src": (1, 3, 2**20, 2**20)},),
)
