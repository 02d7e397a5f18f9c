"""`scan_convert`: the lines of a probe and their place in the image, or its planes in a volume."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cineflow import ops, reference
from cineflow.reference.scan_convert import EDGE
from tests.op_calls import polar_resample as polar
from tests.op_calls._op import Op
from tests.op_calls._values import (
    DEPTH,
    DEPTHS,
    FLOATS,
    IMAGES,
    SIDES,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    deep,
    images,
    zeros,
)

TYPICAL: Options = {
    "rows": 17,
    "columns": 21,
    "apex_x": 10.25,
    "apex_y": 0.5,
    "first_angle": 2.25,
    "sweep": -1.5,
    "first_radius": 2.5,
    "radius_step": 1.25,
    "scale": 1 / 256,
    "offset": -0.5,
    "to_bytes": False,
}

#: Values that an argument refuses.
WRONG: Mapping[str, tuple[Any, ...]] = {
    "scale": (10**400, math.inf, np.ones(3)),
    "offset": (10**400, math.nan, np.ones(3)),
    "geometry": (3, np.ones(3)),
    "size": (4, [4, 4], (4, 4.0), (4, np.ones(2)), np.ones(2)),
    "to_bytes": (1, np.ones(3)),
}


def choose(pick: Pick, sides: Sides = SIDES) -> Options:
    """Halves and quarters, which f32 holds exactly. 6.0 is nearly a full circle."""
    to_bytes = pick((False, False, True))
    return {
        "rows": pick(sides[0]),
        "columns": pick(sides[1]),
        "apex_x": pick((-3.25, 4.5, 10.25)),
        "apex_y": pick((-8.0, 0.5, 6.0)),
        "first_angle": pick((0.0, 0.75, 2.25, -2.0, 1000.0)),
        "sweep": pick((1.5, -1.5, -4.0, 6.0)),
        "first_radius": pick((0.0, 2.5, 9.0)),
        "radius_step": pick((1.0, 0.75, 1.25)),
        # Neighbours then differ by at most one: an error of the coordinate is the result's.
        "scale": 1.5 if to_bytes else 1 / 256,
        "offset": pick((0.0, -32.0 if to_bytes else -0.5)),
        "to_bytes": to_bytes,
    }


def draw(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    """Images [N, C, L, S] of at least 2 x 2 samples, and a probe at which no pixel is in doubt."""
    lines, samples = (max(side, 2) for side in shape[2:])
    sweep = options.pop("sweep")
    options["angle_step"] = sweep / (lines - 1)
    while not is_clear(options, lines, samples):
        options["apex_x"] += 0.125
    return {"src": images(rng, (*shape[:2], lines, samples))}, options


def choose_volume(pick: Pick, sides: Sides = SIDES) -> Options:
    """The same for small volumes, because the reference is slow; the axis of the tilts is the apex,
    or near it."""
    sides = (sides[0][:7], sides[1][:11])
    first_tilt, tilt_sweep = pick(((-0.75, 1.5), (0.75, -1.5), (-2.0, 4.0), (0.25, 6.0)))
    first_angle, sweep = pick(((0.75, 1.5), (2.25, -1.5), (-1.0, 4.0), (1000.0, 6.0)))
    return choose(pick, sides) | {
        "first_angle": first_angle,
        "sweep": sweep,
        "slices": pick(DEPTHS),
        "axis_y": pick((-8.0, 0.25, 5.5)),
        "axis_z": pick((-1.75, 0.5, 2.25)),
        "first_tilt": first_tilt,
        "tilt_sweep": tilt_sweep,
        "depth": pick(DEPTHS),
    }


def draw_volume(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    """Volumes [N, C, P, L, S] of at least 2 x 2 x 2 samples, and such a probe."""
    planes, lines, samples = (max(side, 2) for side in deep(shape, options)[2:])
    options["angle_step"] = options.pop("sweep") / (lines - 1)
    options["tilt_step"] = options.pop("tilt_sweep") / (planes - 1)
    while not is_clear(options, lines, samples, planes):
        options["apex_x"] += 0.125
        options["axis_z"] += 0.125
    return {"src": images(rng, (*shape[:2], planes, lines, samples))}, options


def is_clear(options: Options, lines: int, samples: int, planes: int = 0) -> bool:
    """Whether no pixel lies where the sector ends: rounding would decide whether it is inside."""
    rows, columns = np.mgrid[0 : options["rows"], 0 : options["columns"]]
    x, y = columns - options["apex_x"], rows - options["apex_y"]
    ends = []
    if planes:
        slices = np.arange(options["slices"])[:, None, None]
        below, inward = rows - options["axis_y"], slices - options["axis_z"]
        y = np.hypot(below, inward) + options["axis_y"] - options["apex_y"]
        tilt = np.arctan2(inward, below)
        ends += ends_of(tilt, options["first_tilt"], options["tilt_step"], planes)
    along = (np.hypot(x, y) - options["first_radius"]) / options["radius_step"]
    ends += [along + EDGE, along - (samples - 1 + EDGE)]
    ends += ends_of(np.arctan2(y, x), options["first_angle"], options["angle_step"], lines)
    return all(float(np.abs(end).min(initial=1.0)) > 2e-4 for end in ends)


def ends_of(angle: np.ndarray, first: float, step: float, count: int) -> list[np.ndarray]:
    """Distances in steps from the two ends of evenly spaced angles, along the shorter way."""
    around = (angle - first) / step
    turn = 2 * math.pi / abs(step)
    both = (around + EDGE, around - (count - 1 + EDGE))
    return [(end + turn / 2) % turn - turn / 2 for end in both]


def words(inputs: Inputs, options: Options) -> Options:
    """The sector whose first sample lies `first_radius` from the apex."""
    *planes, lines, samples = inputs["src"].shape[2:]
    first, step = options["first_angle"], options["angle_step"]
    geometry: ops.ProbeGeometry | ops.VolumeGeometry = ops.ProbeGeometry(
        lines,
        samples,
        first_angle=math.pi / 2 - first,
        last_angle=math.pi / 2 - first - step * (lines - 1),
        first_depth=options["first_radius"],
        last_depth=options["first_radius"] + options["radius_step"] * (samples - 1),
        face=(options["apex_x"], options["apex_y"]),
    )
    size: tuple[int, ...] = (options["rows"], options["columns"])
    if planes:
        size = (options["slices"], *size)
        geometry = moved_axis(geometry, options, planes[0])
    return {"geometry": geometry, "size": size} | {
        name: options[name] for name in ("scale", "offset", "to_bytes")
    }


def moved_axis(plane: ops.ProbeGeometry, options: Options, planes: int) -> ops.VolumeGeometry:
    """The planes about an axis anywhere, also below the face, where no probe has it."""
    first, step = options["first_tilt"], options["tilt_step"]
    axis = options["axis_y"], options["axis_z"]
    geometry = ops.VolumeGeometry(plane, planes, first, first + step * (planes - 1), axis[1])
    object.__setattr__(geometry, "axis", axis)
    return geometry


def kernel(options: Options) -> Options:
    """`_C` takes the type of the result from the output also."""
    shown = ("to_bytes", "slices")
    return {name: value for name, value in polar.kernel(options).items() if name not in shown}


def volume_shape(shapes: Mapping[str, tuple[int, ...]], options: Options) -> tuple[int, ...]:
    """[N, C, slices, rows, columns]."""
    return (*shapes["src"][:2], *(options[name] for name in ("slices", "rows", "columns")))


def gold_volume(inputs: Inputs, options: Options) -> np.ndarray:
    planes, *plane = inputs["src"].shape[2:]
    return reference.scan_convert_volume(
        **inputs,
        apex=(options["apex_x"], options["apex_y"]),
        **polar.rays(options, *plane),
        axis=(options["axis_y"], options["axis_z"]),
        tilts=options["first_tilt"] + np.arange(planes) * options["tilt_step"],
        size=(options["slices"], options["rows"], options["columns"]),
        scale=options["scale"],
        offset=options["offset"],
    )


def gold(inputs: Inputs, options: Options) -> np.ndarray:
    return reference.scan_convert(
        **inputs,
        apex=(options["apex_x"], options["apex_y"]),
        **polar.rays(options, *inputs["src"].shape[2:]),
        size=(options["rows"], options["columns"]),
        scale=options["scale"],
        offset=options["offset"],
    )


OP = Op(
    name="scan_convert",
    node="ScanConvert",
    tensors={"src": IMAGES},
    draw=draw,
    shape=polar.result_shape,
    magnitude=1,
    choose=choose,
    typical=TYPICAL,
    reference=gold,
    any_size=("src", "out"),
    coordinates=5e-5,  # as for polar_unresample
    result=(*FLOATS, "uint8"),
    kernel=kernel,
    words=words,
    wrong=WRONG,
    refusals=(
        ({"src": zeros(3, 4, 5)}, "N, C, lines, samples"),
        ({"src": zeros(1, 3, 4, 6)}, "the geometry's"),
        ({"size": 4}, "two whole numbers"),
        ({"size": (4, 4, 4)}, "two whole numbers"),
        ({"size": (-3, 4)}, "-3 x 4"),
        ({"geometry": ops.PolarGrid(4, 5, last_radius=4.0)}, "ProbeGeometry"),
        ({"scale": math.inf}, "scale in"),
        ({"scale": "x"}, "scale as a number"),
        ({"to_bytes": 1}, "to_bytes as True or False"),
        ({"to_bytes": True, "out": zeros(1, 3, 17, 21)}, "out of uint8 with to_bytes"),
    ),
    huge=({"size": (2**30, 2**30)}, {"size": (4, 2**64)}),
)

VOLUME = dataclasses.replace(
    OP,
    draw=draw_volume,
    choose=choose_volume,
    shape=volume_shape,
    typical=TYPICAL
    | {
        "rows": 9,
        "columns": 13,
        "slices": 4,
        "apex_x": 6.25,
        "axis_y": -1.25,
        "axis_z": 1.75,
        "first_tilt": -0.5,
        "tilt_sweep": 1.0,
        "depth": DEPTH,
    },
    reference=gold_volume,
    dimensions=3,
    refusals=(
        ({"src": zeros(1, 3, 4, 5)}, "N, C, planes, lines, samples"),
        ({"src": zeros(1, 3, 3, 4, 6)}, "the geometry's"),
        ({"size": (4, 4)}, "three whole numbers"),
        ({"size": (4, 4.0, 4)}, "three whole numbers"),
        ({"size": (4, -3, 4)}, "4 x -3 x 4"),
        ({"geometry": ops.PolarGrid(4, 5, last_radius=4.0)}, "ProbeGeometry or VolumeGeometry"),
        ({"offset": math.inf}, "offset in"),
        ({"to_bytes": True, "out": zeros(1, 3, 4, 9, 13)}, "out of uint8 with to_bytes"),
    ),
    huge=({"size": (2**20, 2**20, 1)}, {"size": (2**11, 2**10, 2**10)}, {"size": (4, 4, 2**64)}),
)
