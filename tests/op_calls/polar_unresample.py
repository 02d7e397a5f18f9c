"""`polar_unresample`: polar images and their centres in the Cartesian one."""

from __future__ import annotations

import numpy as np

from cineflow import ops, reference
from tests.op_calls import polar_resample as polar
from tests.op_calls._op import Op
from tests.op_calls._values import F32, IMAGES, Inputs, Options, Shape


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    return polar.draw_polar(rng, shape, options, shape[2])


def size_of(options: Options) -> tuple[int, int]:
    return options["rows"], options["columns"]


def words(inputs: Inputs, options: Options) -> Options:
    grid = polar.polar_grid(options, *inputs["src"].shape[2:])
    return {"grid": grid, "size": size_of(options)} | polar.how(options)


def gold(inputs: Inputs, options: Options) -> np.ndarray:
    return reference.polar_unresample(
        **inputs,
        **polar.rays(options, *inputs["src"].shape[2:]),
        size=size_of(options),
        wraps=options["wraps"],
        **polar.how(options),
    )


OP = Op(
    name="polar_unresample",
    node="PolarUnresample",
    tensors={"src": IMAGES, "centre": F32},
    draw=draw,
    shape=polar.result_shape,
    magnitude=1,
    choose=polar.choose,
    typical=polar.TYPICAL,
    reference=gold,
    moves="centre",
    any_size=("src", "out"),
    # Angles are good to 5e-7 rad; a sector of 1.5 holds up to 12 samples.
    coordinates=5e-5,
    kernel=polar.kernel,
    words=words,
    wrong=polar.WRONG,
    refusals=(
        ({"grid": ops.PolarGrid(8, 6, last_radius=4.0)}, "the grid's"),
        ({"size": 4}, "two whole numbers"),
        ({"size": (4, 4, 4)}, "two whole numbers"),
        ({"size": (4.0, 4)}, "two whole numbers"),
        ({"size": (-3, 4)}, "-3 x 4"),
    ),
    huge=({"size": (2**30, 2**30)}, {"size": (4, 2**64)}),
)
