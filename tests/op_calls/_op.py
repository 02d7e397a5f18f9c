"""`Op`, a row of the table, and `Call`, one op on some arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cineflow import reference
from tests.op_calls._values import (
    FLOATS,
    SIDES,
    Inputs,
    Options,
    Pick,
    Shape,
    Sides,
    holed,
    laid_out,
    sampling_aside,
)


def no_options(pick: Pick, sides: Sides = SIDES) -> Options:
    """The options of an op that has none."""
    return {}


def kernel_options(options: Options) -> Options:
    """The options as `_C` takes them: a flag for the border."""
    given = {name: value for name, value in options.items() if name != "border"}
    return given | {"clamp": options["border"] == "clamp"} if "border" in options else given


@dataclass(frozen=True, kw_only=True)
class Op:
    """One op.

    A call has inputs and options; the options are the attributes of the op's ONNX node. Each front
    translates them into its own words.

    Attributes:
        name: As in `cineflow.ops`.
        node: As in ONNX graphs.
        tensors: The storage types of each input.
        draw: `draw(rng, shape, options)` returns the inputs for images of that shape, and the
            completed options.
        shape: `shape(shapes, options)` is the shape of the result, from the shapes of the inputs.
        magnitude: Largest value of the images. Errors of coordinates are multiplied by it.
        choose: `choose(pick, sides)` returns random options; `pick` takes one of a sequence.
        typical: Options for the tests that are about something else.
        reference: The reference on inputs and options, f64; None for the function of that name.
        result: Storage types of the result.
        moves: The input that holds coordinates, or motion in pixels; "" without any.
        finite: Inputs that get no pixels that are not finite. An op that takes a mean of samples
            would show every one of them, whatever the rounding of a coordinate next to it.
        any_size: Tensors whose height and width do not depend on the other tensors.
        coordinates: Error of the kernels' own coordinates, pixels.
        blur: Error of coordinates that has the effect of rounded intermediate results.
        condition: By how much some options magnify rounding.
        launcher: Name of the function in `_C`, where it differs.
        kernel: The options as keyword arguments of that function.
        words: The inputs that are not arrays and the options, as arguments of `cineflow.ops`.
        workspace: Floats that the CUDA kernels need, from the shape of the result.
        launches: CUDA launches of one call, from its options.
        barriers: Whether the threads of the CUDA kernel wait for each other.
        dimensions: 2 for images, 3 for volumes. `draw` takes the shape of an image in either case,
            and adds the depth of a volume.
        refusals: Changes to a good call of `cineflow.ops` on images [1, 3, 4, 5] or volumes
            [1, 3, 3, 4, 5], and the message.
        wrong: Values of an argument that are refused, next to those that no argument takes.
        huge: Changes that make the result too large. A tuple is the shape of an array.
    """

    name: str
    node: str
    tensors: Mapping[str, tuple[str, ...]]
    draw: Callable[[np.random.Generator, Shape, Options], tuple[Inputs, Options]]
    shape: Callable[[Mapping[str, tuple[int, ...]], Options], tuple[int, ...]]
    magnitude: float
    choose: Callable[..., Options] = no_options
    typical: Options = field(default_factory=dict)
    reference: Callable[[Inputs, Options], np.ndarray] | None = None
    result: tuple[str, ...] = FLOATS
    moves: str = ""
    finite: tuple[str, ...] = ()
    any_size: tuple[str, ...] = ()
    coordinates: float = 0.0
    blur: float = 0.0
    condition: Callable[[Options], float] = lambda options: 1.0
    launcher: str = ""
    kernel: Callable[[Options], Options] = kernel_options
    words: Callable[[Inputs, Options], Options] = lambda inputs, options: dict(options)
    workspace: Callable[[tuple[int, ...]], int] | None = None
    launches: Callable[[Options], int] = lambda options: 1
    barriers: bool = False
    dimensions: int = 2
    refusals: tuple[tuple[Mapping[str, Any], str], ...] = ()
    wrong: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    huge: tuple[Mapping[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """Its name in the reports of tests: "warp", and "warp-3d" for volumes."""
        return self.name if self.dimensions == 2 else f"{self.name}-{self.dimensions}d"

    @property
    def storages(self) -> tuple[str, ...]:
        """Storage types of the images or features; f32 where every input is f32."""
        return max(self.tensors.values(), key=len)

    @property
    def function(self) -> str:
        """Name of its function in `_C`."""
        return self.launcher or self.name


@dataclass(frozen=True)
class Call:
    """One op on some arrays.

    Attributes:
        op: The op.
        inputs: Values by name, f32 arrays that the storage type holds exactly.
        options: The node's attributes by name.
        storage: Element type of the images or features; the other inputs are f32.
        layouts: Memory layout of each input, see `laid_out`; "out" where the caller gives one.
        seed: What the values were drawn from, for the report of a failure.
        stored_as: Element type of the result, where it is not the usual one.
    """

    op: Op
    inputs: Inputs
    options: Options
    storage: str = "float32"
    layouts: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    stored_as: str = ""

    def __repr__(self) -> str:
        shapes = {name: values.shape for name, values in self.inputs.items()}
        how = f"{self.storage} {self.layouts}, seed {self.seed}"
        return f"{self.op.name}({shapes}, {self.options}, {how})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What Hypothesis prints of a failing call, without the arrays."""
        printer.text(repr(self))

    @property
    def result(self) -> str:
        """Element type of the result."""
        if self.stored_as:
            return self.stored_as
        if self.options.get("to_bytes"):
            return "uint8"
        return "float32" if self.storage == "uint8" else self.storage

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        shapes = {name: values.shape for name, values in self.inputs.items()}
        return self.op.shape(shapes, self.options)

    @property
    def words(self) -> Options:
        """The arguments of `cineflow.ops` that are not arrays."""
        return self.op.words(self.inputs, self.options)

    def storage_of(self, name: str) -> str:
        """Element type of one input."""
        return self.storage if len(self.op.tensors[name]) > 1 else "float32"

    def layout_of(self, name: str) -> str:
        """Layout of one input, or of "out"."""
        return self.layouts.get(name, "planar")

    def gold(self, aside: tuple[float, ...] = ()) -> np.ndarray:
        """The reference's result, f64; sampled `aside`, (x, y[, z]) in pixels of the source."""
        with np.errstate(invalid="ignore"), sampling_aside(aside):
            if self.op.reference is not None:
                return self.op.reference(self.inputs, self.options)
            result: np.ndarray = getattr(reference, self.op.name)(**self.inputs, **self.options)
            return result


def make_call(
    op: Op,
    options: Options | None = None,
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
        options: From `op.choose`; None takes `op.typical`.
        shape: Of the images.
        seed: Of the values.
        storage: Element type of the images.
        layout: One for all inputs, or one for each tensor.
        holes: Whether some pixels are infinite or NaN.
    """
    rng = np.random.default_rng(seed)
    inputs, options = op.draw(rng, shape, dict(op.typical if options is None else options))
    layouts = dict.fromkeys(inputs, layout) if isinstance(layout, str) else layout
    for name, values in inputs.items():
        if holes and name not in (op.moves, *op.finite):
            inputs[name] = values = holed(rng, values)
        if layouts.get(name) == "broadcast":  # the reference's inputs must be the same
            inputs[name] = laid_out(values, "broadcast").copy()
    return Call(op, inputs, options, storage, layouts, seed)
