"""The table of ops: how random calls of each are drawn, and what the reference answers.

A call speaks the language of the kernels: tensors, and the attributes that an ONNX node has. Each
front of fronts.py translates it into its own words.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from cineflow import reference

Inputs = dict[str, np.ndarray]
Options = dict[str, Any]
Shape = tuple[int, int, int, int]

FLOATS = ("float32", "float16", "bfloat16")
IMAGES = (*FLOATS, "uint8")

#: Where a coordinate is no number, or far outside, or on an edge.
NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, -1.0, -0.5, 0.0, 0.5])

#: Pixels that are none, in every float storage type.
HOLES = np.float32([np.nan, np.inf, -np.inf])

#: Relative rounding of a result in its storage type; f32's is that of a sum of products.
ROUNDING = {"float32": 1e-6, "float16": 2**-11 * 1.01, "bfloat16": 2**-8 * 1.01}


@dataclass(frozen=True)
class Op:
    """One op.

    Attributes:
        name: As in `cineflow.ops`.
        node: As in ONNX graphs.
        tensors: Names of its inputs.
        stored: How many inputs, from the first on, have the call's storage type; others are f32.
        storages: Storage types that it takes.
        moves: The input that holds coordinates, or motion in pixels; "" without any.
        draw: Inputs and options from random numbers; images of the shape given.
        options: Strategy of the options; `draw` completes them.
        typical: Options of the tests that are about something else.
        gold: The reference on inputs and options, f64.
        magnitude: Largest value of the images, what errors of coordinates are multiplied by.
        coordinates: Error of the kernels' own coordinates, pixels.
        blur: Error of coordinates that errors of a result in between amount to.
    """

    name: str
    node: str
    tensors: tuple[str, ...]
    stored: int
    storages: tuple[str, ...]
    moves: str
    draw: Callable[[np.random.Generator, Shape, Options], tuple[Inputs, Options]]
    options: st.SearchStrategy[Options]
    typical: Options
    gold: Callable[[Inputs, Options], np.ndarray]
    magnitude: float
    coordinates: float = 0.0
    blur: float = 0.0


@dataclass(frozen=True)
class Call:
    """One op on some tensors.

    Attributes:
        op: The op.
        inputs: Values by name, f32 arrays that the storage type holds exactly.
        options: The node's attributes by name.
        storage: Element type of the op's first `stored` inputs.
        layouts: How each input lies in memory, see `laid_out`; "out", where the caller gives one.
        seed: What the values were drawn from, for the report of a failure.
    """

    op: Op
    inputs: Inputs
    options: Options
    storage: str = "float32"
    layouts: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __repr__(self) -> str:
        shapes = {name: values.shape for name, values in self.inputs.items()}
        how = f"{self.storage} {self.layouts}, seed {self.seed}"
        return f"{self.op.name}({shapes}, {self.options}, {how})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What Hypothesis shows of a failing call: not its arrays."""
        printer.text(repr(self))

    @property
    def result(self) -> str:
        """Element type of the answer."""
        return "float32" if self.storage == "uint8" else self.storage

    def storage_of(self, name: str) -> str:
        """Element type of one input."""
        return self.storage if list(self.inputs).index(name) < self.op.stored else "float32"

    def layout_of(self, name: str) -> str:
        """Layout of one input, or of "out"."""
        return self.layouts.get(name, "planar")

    def gold(self, aside: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """What the reference answers, f64; sampled `aside`, (x, y) in pixels of the source."""
        with np.errstate(invalid="ignore"), sampling_aside(*aside):
            return self.op.gold(self.inputs, self.options)


@contextlib.contextmanager
def sampling_aside(x: float, y: float) -> Iterator[None]:
    """Let the reference sample beside the coordinate, of a clamped one on both sides of the edge:
    what a neighbour of the weight 0 does to a result shows on one of four diagonal sides."""

    def aside(plane: np.ndarray, column: float, row: float, border: str) -> float:
        if border == "clamp" and math.isfinite(column) and math.isfinite(row):
            column = min(max(column, 0.0), plane.shape[1] - 1.0)
            row = min(max(row, 0.0), plane.shape[0] - 1.0)
        return sample(plane, column + x, row + y, "zeros")

    if not (x or y):
        yield
        return
    users = [sys.modules[f"cineflow.reference.{name}"] for name in ("warp", "polar")]
    sample = users[0].sample
    with mock.patch.object(users[0], "sample", aside), mock.patch.object(users[1], "sample", aside):
        yield


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values with other strides; [N, C, H, W], or [M, 2], which has neither channels
    nor rows.

    "broadcast" repeats channel 0, and "stretched" puts rows 2^31 elements apart, which nothing may
    read: those two do not keep the values.
    """
    if array.ndim != 4 and layout in ("channels_last", "broadcast", "stretched"):
        return array
    if layout == "channels_last":
        return array.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    if layout == "transposed":
        return array.swapaxes(-1, -2).copy().swapaxes(-1, -2)
    if layout == "reversed":
        return array[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "gapped":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "broadcast":
        steps = list(array.strides)
        steps[1] = 0
        return np.lib.stride_tricks.as_strided(array, array.shape, steps)
    if layout == "stretched":
        steps = (0, 0, 2**31 * array.itemsize, array.itemsize)
        return np.lib.stride_tricks.as_strided(array, array.shape, steps)
    return array


def images(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Grey levels: whole numbers that every storage type holds exactly."""
    return rng.integers(0, 256, shape).astype(np.float32)


def features(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Small whole numbers: the sums of their products are exact in f32."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def nasty(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """`values` with a tenth of them huge, on an edge, or no number."""
    chosen = rng.random(values.shape) < 0.1
    values = values.astype(np.float32)
    values[chosen] = rng.choice(NASTY, int(chosen.sum()))
    return values


def holed(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """`values` with one in thirty infinite, or no number."""
    chosen = rng.random(values.shape) < 1 / 30
    return np.where(chosen, rng.choice(HOLES, values.shape), values)


def motion(rng: np.random.Generator, batch: int, size: tuple[int, ...]) -> np.ndarray:
    """A few pixels of motion [N, 2, h, w], some of it nasty."""
    return nasty(rng, rng.normal(0, 4, (batch, 2, *size)))


def draw_warp(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    size = options.pop("grid") or shape[2:]
    return {"src": images(rng, shape), "flow": motion(rng, shape[0], size)}, options


def draw_compose(
    rng: np.random.Generator, shape: Shape, options: Options
) -> tuple[Inputs, Options]:
    size = options.pop("grid") or shape[2:]
    flow = rng.normal(0, 4, (shape[0], 2, *shape[2:])).astype(np.float32)
    return {"displacement": motion(rng, shape[0], size), "flow": flow}, options


def draw_correlation(
    rng: np.random.Generator, shape: Shape, options: Options
) -> tuple[Inputs, Options]:
    return {name: features(rng, shape) for name in ("f1", "f2")}, options


def draw_warp_correlation(
    rng: np.random.Generator, shape: Shape, options: Options
) -> tuple[Inputs, Options]:
    inputs, options = draw_correlation(rng, shape, options)
    return inputs | {"flow": motion(rng, shape[0], shape[2:])}, options


def draw_polar(rng: np.random.Generator, shape: Shape, options: Options) -> tuple[Inputs, Options]:
    """Images and centres for either direction; a full circle where the options say so."""
    # The polar image is the result of one direction and the source of the other.
    polar_rows = shape[2] if options.pop("inverse") else options["rows"]
    sweep = options.pop("sweep")
    options |= {"wraps": abs(sweep) > 6, "angle_step": sweep / polar_rows}
    centres = 1 if options.pop("shared") else shape[0]
    centre = nasty(rng, rng.uniform(-2, 14, (centres, 2)))
    return {"src": images(rng, shape), "centre": centre}, options


def gold_correlation(inputs: Inputs, options: Options) -> np.ndarray:
    given = dict(options)
    given["order"] = "xy" if given.pop("x_major") else "yx"
    gold = reference.warp_correlation if "flow" in inputs else reference.correlation
    return gold(**inputs, **given)


def rays(options: Options, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Angles and radii of a polar image, two of each at least: the reference reads the steps."""
    return {
        "angles": options["first_angle"] + np.arange(max(rows, 2)) * options["angle_step"],
        "radii": options["first_radius"] + np.arange(max(columns, 2)) * options["radius_step"],
    }


def _how(options: Options) -> Options:
    return {name: options[name] for name in ("border", "scale", "offset")}


def gold_polar_resample(inputs: Inputs, options: Options) -> np.ndarray:
    rows, columns = options["rows"], options["columns"]
    along = rays(options, rows, columns)
    whole = reference.polar_resample(**inputs, **along, **_how(options))
    return whole[:, :, :rows, :columns]


def gold_polar_unresample(inputs: Inputs, options: Options) -> np.ndarray:
    return reference.polar_unresample(
        **inputs,
        **rays(options, *inputs["src"].shape[2:]),
        size=(options["rows"], options["columns"]),
        wraps=options["wraps"],
        **_how(options),
    )


sides = st.tuples(st.integers(1, 12), st.integers(1, 40))
shapes = st.tuples(st.integers(0, 2), st.integers(1, 19), st.integers(1, 12), st.integers(1, 40))
borders = st.sampled_from(("zeros", "clamp"))
placing = st.fixed_dictionaries({"border": borders, "grid": st.none() | sides})
matching: Mapping[str, st.SearchStrategy[Any]] = {
    "radius": st.integers(0, 5) | st.just(11),
    "dilation": st.integers(1, 3),
    "scale": st.sampled_from((1.0, 0.125, 0.3)),
    "x_major": st.booleans(),
}


def polar_options(inverse: bool) -> st.SearchStrategy[Options]:
    """A grid; angles and radii are halves and quarters, which f32 holds exactly."""
    return st.builds(
        lambda size, more: {"rows": size[0], "columns": size[1], "inverse": inverse} | more,
        sides,
        st.fixed_dictionaries(
            {
                "first_angle": st.sampled_from((0.0, 0.75, -2.0, 1000.0)),
                "sweep": st.sampled_from((2 * math.pi, -2 * math.pi, 1.5, -4.0)),
                "first_radius": st.sampled_from((0.0, 1.5)),
                "radius_step": st.sampled_from((1.0, 0.75, -0.5)),
                "border": borders,
                # Neighbours then differ by one at most: an error of the coordinate is the result's.
                "scale": st.just(1 / 256),
                "offset": st.sampled_from((0.0, -0.5)),
                "shared": st.booleans(),
            }
        ),
    )


def polar_op(
    direction: str, gold: Callable[[Inputs, Options], np.ndarray], coordinates: float
) -> Op:
    """PolarResample or PolarUnresample, which take the same arguments."""
    inverse = direction == "unresample"
    return Op(
        name=f"polar_{direction}",
        node=f"Polar{direction.capitalize()}",
        tensors=("src", "centre"),
        stored=1,
        storages=IMAGES,
        moves="centre",
        draw=draw_polar,
        options=polar_options(inverse),
        typical=POLAR | {"inverse": inverse},
        gold=gold,
        magnitude=1,
        coordinates=coordinates,
    )


MATCHING: Options = {"radius": 4, "dilation": 1, "scale": 0.125, "x_major": False}
POLAR: Options = {
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

OPS = {
    op.name: op
    for op in (
        Op(
            name="warp",
            node="Warp",
            tensors=("src", "flow"),
            stored=1,
            storages=IMAGES,
            moves="flow",
            draw=draw_warp,
            options=placing,
            typical={"border": "zeros", "grid": None},
            gold=lambda inputs, options: reference.warp(**inputs, **options),
            magnitude=255,
        ),
        Op(
            name="compose_flow",
            node="ComposeFlow",
            tensors=("displacement", "flow"),
            stored=0,
            storages=("float32",),
            moves="displacement",
            draw=draw_compose,
            options=placing,
            typical={"border": "zeros", "grid": None},
            gold=lambda inputs, options: reference.compose_flow(**inputs, **options),
            magnitude=16,
        ),
        Op(
            name="correlation",
            node="Correlation",
            tensors=("f1", "f2"),
            stored=2,
            storages=FLOATS,
            moves="",
            draw=draw_correlation,
            options=st.fixed_dictionaries(dict(matching)),
            typical=MATCHING,
            gold=gold_correlation,
            magnitude=8,
        ),
        Op(
            name="warp_correlation",
            node="WarpCorrelation",
            tensors=("f1", "f2", "flow"),
            stored=2,
            storages=FLOATS,
            moves="flow",
            draw=draw_warp_correlation,
            options=st.fixed_dictionaries({**matching, "border": borders}),
            typical=MATCHING | {"border": "zeros"},
            gold=gold_correlation,
            # The error of one warped feature, times the other, over 19 channels.
            magnitude=8 * 8 * 19,
            # Features that cancel out leave 0 or 1e-7: infinity times those is not the same.
            blur=ROUNDING["float32"],
        ),
        polar_op("resample", gold_polar_resample, 1e-5),  # 50 px from the centre, f32
        # Angles are good to 5e-7 rad; a sector of 1.5 holds up to 12 samples.
        polar_op("unresample", gold_polar_unresample, 5e-5),
    )
}


def make_call(
    op: Op,
    options: Options,
    *,
    shape: Shape,
    seed: int = 0,
    storage: str = "float32",
    layout: str | Mapping[str, str] = "planar",
    holes: bool = False,
) -> Call:
    """A call with values drawn from `seed`.

    Args:
        op: The op.
        options: Drawn from `op.options`.
        shape: Of the images.
        seed: Of the values.
        storage: Element type of the images.
        layout: One for all inputs, or one for each tensor.
        holes: Whether some pixels are infinite or no number.
    """
    rng = np.random.default_rng(seed)
    inputs, options = op.draw(rng, shape, dict(options))
    layouts = dict.fromkeys(inputs, layout) if isinstance(layout, str) else layout
    for name, values in inputs.items():
        if holes and name != op.moves:
            inputs[name] = values = holed(rng, values)
        if layouts.get(name) == "broadcast":  # say the same of the reference's inputs
            inputs[name] = laid_out(values, "broadcast").copy()
    return Call(op, inputs, options, storage, layouts, seed)


@st.composite
def calls(
    draw: Any, op: Op, storages: tuple[str, ...], layouts: tuple[str, ...], outputs: tuple[str, ...]
) -> Call:
    """Random calls of `op` in storage types and layouts, each tensor's its own.

    Args:
        draw: Hypothesis's.
        op: The op.
        storages: Of the images.
        layouts: Of the inputs.
        outputs: Layouts of a result that the caller gives; empty where none can be given.
    """
    storage = draw(st.sampled_from([name for name in op.storages if name in storages]))
    layout = dict.fromkeys(op.tensors, draw(st.sampled_from(layouts)))
    if draw(st.booleans()):
        layout = {name: draw(st.sampled_from(layouts)) for name in op.tensors}
    if outputs and draw(st.booleans()):
        layout["out"] = draw(st.sampled_from(outputs))
    return make_call(
        op,
        draw(op.options),
        shape=draw(shapes),
        seed=draw(st.integers(0, 2**32 - 1)),
        storage=storage,
        layout=layout,
        holes=storage != "uint8" and draw(st.booleans()),
    )
