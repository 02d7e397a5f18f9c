"""`polar_resample`: images and the centres of their polar images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cineflow import ops, reference
from tests.op_calls._op import Op, kernel_options
from tests.op_calls._values import (
    BORDERS,
    F32,
    IMAGES,
    SIDES,
    WRONG_BORDERS,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    images,
    nasty,
    zeros,
)

TYPICAL: Options = {
    "rows": 9,
    "columns": 17,
    "first_angle": 0.75,
    "sweep": 2 * math.pi,
    "first_radius": 1.5,
    "radius_step": 0.75,
    "border": "zeros",
    "scale": 1 / 256,
    "offset": -0.5,
    "shared": True,
}

#: Values that an argument refuses.
WRONG: Mapping[str, tuple[Any, ...]] = {
    "border": WRONG_BORDERS,
    "scale": (10**400, math.inf, np.ones(3)),
    "offset": (10**400, math.nan, np.ones(3)),
    "grid": (3, np.ones(3)),
    "centre": (3, [0, 0], (10**400, 0), (np.ones(2), 0)),
    "size": (4, [4, 4], (4, 4.0), (4, np.ones(2)), np.ones(2)),
}


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    """Angles and radii are halves and quarters, which f32 holds exactly."""
    return {
        "rows": pick(sides[0]),
        "columns": pick(sides[1]),
        "first_angle": pick((0.0, 0.75, -2.0, 1000.0)),
        "sweep": pick((2 * math.pi, -2 * math.pi, 1.5, -4.0)),
        "first_radius": pick((0.0, 1.5)),
        "radius_step": pick((1.0, 0.75, -0.5)),
        "border": pick(BORDERS),
        # Neighbours then differ by at most one: an error of the coordinate is the result's.
        "scale": 1 / 256,
        "offset": pick((0.0, -0.5)),
        "shared": pick((False, True)),
    }


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    return draw_polar(rng, shape, options, options["rows"])


def draw_polar(
    rng: np.random.Generator, shape: Shape, options: Options, angles: int
) -> tuple[Inputs, Options]:
    """Images and centres for either direction; a full circle if `sweep` says so.

    Args:
        rng: Of the values.
        shape: Of the images.
        options: Drawn from `choose`.
        angles: Rows of the polar image.
    """
    sweep = options.pop("sweep")
    options |= {"wraps": abs(sweep) > 6, "angle_step": sweep / angles}
    centres = 1 if options.pop("shared") else shape[0]
    centre = nasty(rng, rng.uniform(-2, 14, (centres, 2)))
    return {"src": images(rng, shape), "centre": centre}, options


def result_shape(shapes: Mapping[str, tuple[int, ...]], options: Options) -> tuple[int, ...]:
    """[N, C, rows, columns]."""
    return (*shapes["src"][:2], options["rows"], options["columns"])


def kernel(options: Options) -> Options:
    """`_C` takes the size from the output."""
    given = kernel_options(options)
    return {name: value for name, value in given.items() if name not in ("rows", "columns")}


def how(options: Options) -> Options:
    """The options that both directions hand on as they are."""
    return {name: options[name] for name in ("border", "scale", "offset")}


def polar_grid(options: Options, angles: int, radii: int) -> ops.PolarGrid:
    first = options["first_radius"]
    grid = ops.PolarGrid(
        angles,
        radii,
        last_radius=first + radii * options["radius_step"],
        first_radius=first,
        first_angle=options["first_angle"],
        sweep=angles * options["angle_step"],
    )
    assert grid.is_full_circle == options["wraps"]
    return grid


def words(inputs: Inputs, options: Options) -> Options:
    return {"grid": polar_grid(options, options["rows"], options["columns"])} | how(options)


def rays(options: Options, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Angles and radii of a polar image. At least two of each: the reference reads the steps."""
    return {
        "angles": options["first_angle"] + np.arange(max(rows, 2)) * options["angle_step"],
        "radii": options["first_radius"] + np.arange(max(columns, 2)) * options["radius_step"],
    }


def gold(inputs: Inputs, options: Options) -> np.ndarray:
    rows, columns = options["rows"], options["columns"]
    whole = reference.polar_resample(**inputs, **rays(options, rows, columns), **how(options))
    return whole[:, :, :rows, :columns]


OP = Op(
    name="polar_resample",
    node="PolarResample",
    tensors={"src": IMAGES, "centre": F32},
    draw=draw,
    shape=result_shape,
    magnitude=1,
    choose=choose,
    typical=TYPICAL,
    reference=gold,
    moves="centre",
    any_size=("src", "out"),
    coordinates=1e-5,  # 50 px from the centre, f32
    kernel=kernel,
    words=words,
    wrong=WRONG,
    refusals=(
        ({"src": zeros(3, 4, 5)}, "N, C, rows, columns"),
        ({"centre": zeros(3, 2)}, "src's batch, or 1"),
        ({"centre": zeros(1, 3)}, "x and y"),
        ({"centre": (0,)}, r"centre as \(x, y\)"),
        ({"centre": (0, 0, 7)}, r"centre as \(x, y\)"),
        ({"centre": ("a", 0)}, "centre's x as a number"),
        ({"scale": math.inf}, "scale in"),
        ({"scale": "x"}, "scale as a number"),
    ),
    huge=({"grid": ops.PolarGrid(2**22, 2**22, last_radius=4.0)},),
)
