"""`patch_correlation`: a reference, targets, and key points in both."""

from __future__ import annotations

import math

import numpy as np

from cineflow import reference
from tests.op_calls._op import Op
from tests.op_calls._values import (
    BORDERS,
    F32,
    FLOATS,
    SIDES,
    WRONG_BORDERS,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    features,
    nasty,
    zeros,
)

TYPICAL: Options = {
    "size1": 6,
    "size2": 5,
    "pool1": 2,
    "pool2": 1,
    "scale": 0.125,
    "border": "zeros",
}
BUFFER = zeros(300)

#: A side of a patch and of its cells.
PATCHES = ((1, 1), (2, 2), (3, 1), (4, 2), (6, 3), (6, 2), (7, 1), (9, 1))


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    (size1, pool1), (size2, pool2) = pick(PATCHES), pick(PATCHES)
    scale, border = pick((1.0, 0.125, 0.3)), pick(BORDERS)
    patches = {"size1": size1, "size2": size2, "pool1": pool1, "pool2": pool2}
    return patches | {"scale": scale, "border": border}


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    """Targets of that shape, 1 or 5 points, and one reference for all targets or one for each."""
    batch, _, height, width = shape
    references = 1 if batch % 2 else batch
    maps = {"f1": features(rng, (references, *shape[1:])), "f2": features(rng, shape)}
    count = 5 if height > 4 else 1
    points = {
        name: nasty(rng, rng.uniform(-3, (width + 3, height + 3), (images, count, 2)))
        for name, images in (("points1", references), ("points2", batch))
    }
    return maps | points, options


def words(inputs: Inputs, options: Options) -> Options:
    return {
        "size": (options["size1"], options["size2"]),
        "pool": (options["pool1"], options["pool2"]),
        "scale": options["scale"],
        "border": options["border"],
    }


def gold(inputs: Inputs, options: Options) -> np.ndarray:
    return reference.patch_correlation(**inputs, **words(inputs, options))


def cells(shapes: dict[str, tuple[int, ...]], options: Options) -> tuple[int, ...]:
    sides = [options[f"size{one}"] // options[f"pool{one}"] for one in (1, 2)]
    return (shapes["f2"][0], shapes["points2"][1], sides[0] ** 2, sides[1] ** 2)


OP = Op(
    name="patch_correlation",
    node="PatchCorrelation",
    tensors={"f1": FLOATS, "f2": FLOATS, "points1": F32, "points2": F32},
    draw=draw,
    shape=cells,
    # The error of one sample, times the other, over 32 channels.
    magnitude=8 * 8 * 32,
    choose=choose,
    typical=TYPICAL,
    reference=gold,
    moves="points2",
    finite=("f1", "f2"),  # tests/ops/test_patch_correlation.py has such features
    any_size=("f1", "f2"),
    words=words,
    barriers=True,
    wrong={
        "size": (2.5, (4, 2.5), (4, 4, 4), np.ones(3), 0, 65, 2**64),
        "pool": (2.5, (1, 2.5), (1, 1, 1), np.ones(3), 0, 65),
        "scale": (10**400, math.inf, np.ones(3)),
        "border": WRONG_BORDERS,
    },
    refusals=(
        ({"f1": zeros(3, 4, 5)}, r"f1 of shape \[B, C, h, w\]"),
        ({"f2": zeros(3, 4, 5)}, r"f2 of shape \[N, C, H, W\]"),
        ({"f2": zeros(1, 2, 4, 5)}, "f1's channels"),
        ({"f2": zeros(1, 3, 4, 5, dtype="float16")}, "f2 of dtype float32"),
        ({"f1": zeros(1, 3, 4, 5, dtype="uint8")}, "f1 of dtype float32"),
        ({"f1": zeros(2, 3, 4, 5)}, "f2's batch, or a divisor of it"),
        ({"f1": zeros(0, 3, 4, 5)}, "f2's batch, or a divisor of it"),
        ({"points1": zeros(4, 2)}, r"points1 of shape \[B, K, 2\]"),
        ({"points2": zeros(4, 2)}, r"points2 of shape \[N, K, 2\]"),
        ({"points1": zeros(2, 1, 2)}, "f1's batch"),
        ({"points2": zeros(2, 1, 2)}, "f2's batch"),
        ({"points2": zeros(1, 5, 2)}, "points1's count"),
        ({"points1": zeros(1, 1, 3)}, "points1 with 2 .x and y."),
        ({"points2": zeros(1, 1, 3)}, "points2 with 2 .x and y."),
        ({"points2": zeros(1, 1, 2, dtype="float16")}, "points2 of dtype float32"),
        ({"size": (5, 5)}, "pool that divides size; got 2 and 5"),
        ({"size": 0}, "size in 1..64"),
        ({"size": 128}, "size in 1..64"),
        ({"pool": (2, 4)}, "pool that divides size; got 4 and 5"),
        ({"pool": -1}, "pool in 1..64"),
        ({"scale": 1e300}, "scale in"),
        ({"scale": math.nan}, '"mean", "sqrt"'),
        ({"border": "reflect"}, '"zeros" or "clamp"'),
        ({"out": zeros(1, 1, 9, 36)}, r".size2 / pool2.\^2"),
        ({"out": zeros(1, 1, 8, 25)}, r".size1 / pool1.\^2"),
        ({"out": zeros(1, 5, 9, 25)}, "points2's count"),
        ({"out": zeros(1, 1, 9, 25, dtype="uint8")}, "out of dtype float32"),
        (
            {
                "points2": BUFFER[:2].reshape(1, 1, 2),
                "out": BUFFER[1:226].reshape(1, 1, 9, 25),
            },
            "overlaps no input",
        ),
    ),
)
