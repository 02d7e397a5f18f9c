"""Parity: torch against runtimes, or runtimes among themselves, in what each output means.

A model with states is judged by a sequence: each side carries its own states from frame to frame,
so that an error which grows is seen. `cineflow.export.check.units` has the measure of each role.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.errors import ArgumentError, ExportError
from cineflow.export.check.module import require_finite, run_torch
from cineflow.export.check.units import Gap, measure, spread, unit_of
from cineflow.export.recipe import Recipe
from cineflow.runtime.bundle import graph_outputs
from cineflow.runtime.engine import Engine
from cineflow.spec import ModelSpec, TensorSpec

if TYPE_CHECKING:
    import torch

#: Significant digits in a manifest; more would differ from one CPU to the next.
DIGITS = 3

#: Frames of the sequence that a model with states is compared over.
SEQUENCE = 8

#: Inputs or outputs by name.
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Parity:
    """How far one runtime is from torch on one output, over all inputs tried at one size.

    Attributes:
        runtime: Engine name.
        kernels: What ran our own ops.
        precision: Storage type of the features ("fp32").
        output: Output name.
        unit: Unit of `worst`, `mean` and `tolerance`.
        sizes: Size along each dynamic axis.
        inputs: Number of inputs tried.
        worst: Largest difference; infinite where only one side is finite.
        mean: Mean difference.
        tolerance: Largest accepted difference, from the spec; 0 where the spec has none.
        spread: Standard deviation of the reference's own output, so that a constant output shows.
        frames: Length of each input: a sequence of frames for a model with states, else 1.
        dice: Lowest Dice of each class, by its name; labels only.
        ranks_changed: Rows of scores whose highest class is a different one; any is a failure.
    """

    runtime: str
    kernels: str
    precision: str
    output: str
    unit: str
    sizes: Mapping[str, int]
    inputs: int
    worst: float
    mean: float
    tolerance: float
    spread: float
    frames: int = 1
    dice: Mapping[str, float] = field(default_factory=dict)
    ranks_changed: int = 0

    @property
    def passed(self) -> bool:
        """Whether the worst difference is within the tolerance, and each highest score the same."""
        return self.worst <= self.tolerance and not self.ranks_changed

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest or report, rounded to `DIGITS` significant digits.

        `frames`, `dice` and `ranks_changed` are there where they say something.
        """
        values = asdict(self)
        if self.frames == 1:
            del values["frames"]
        for key in ("dice", "ranks_changed"):
            if not values[key]:
                del values[key]
        if self.dice:
            values["dice"] = {name: figure(value) for name, value in self.dice.items()}
        rounded = {key: figure(getattr(self, key)) for key in ("worst", "mean", "spread")}
        return values | rounded | {"sizes": dict(self.sizes), "passed": self.passed}

    @property
    def share_of_tolerance(self) -> float:
        """The worst difference as a multiple of the tolerance; infinite where that is exceeded
        without a number: a tolerance of 0, or a different highest score."""
        if self.passed:
            return self.worst / self.tolerance if self.tolerance else 0.0
        return self.worst / self.tolerance if self.tolerance > 0 < self.worst else math.inf

    @property
    def said(self) -> str:
        """The comparison in words."""
        sizes = " x ".join(map(str, self.sizes.values())) or "its fixed size"
        details = f", {self.details}" if self.details else ""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{self.output} at {sizes} differs by at most {self.worst:.2g}{unit} "
            f"(tolerance {self.tolerance:g}){details}"
        )

    @property
    def details(self) -> str:
        """What the figures do not say, in words; "" where they say all."""
        said = []
        if self.frames > 1:
            said.append(f"over {self.frames} frames, each side with its own states")
        if self.dice:
            name, least = min(self.dice.items(), key=lambda item: item[1])
            said.append(f"lowest Dice {least:.4g} ({name})")
        if self.ranks_changed:
            rows = "row" if self.ranks_changed == 1 else "rows"
            said.append(f"a different highest class in {self.ranks_changed} {rows}")
        return ", ".join(said)


def figure(value: float) -> float | None:
    """`value` to `DIGITS` significant digits; None, which JSON can express, if it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def compare(
    module: torch.nn.Module,
    engines: Sequence[Engine],
    recipe: Recipe,
    sizes: Mapping[str, int],
    seeds: Sequence[int],
    precision: str,
) -> list[Parity]:
    """Run torch and every engine on the same inputs.

    Args:
        module: The reference, in eval mode.
        engines: Runtimes that opened the exported graph.
        recipe: Makes the inputs and names the outputs.
        sizes: Size along each dynamic axis.
        seeds: One input per seed; for a model with states, one sequence of `SEQUENCE` frames.
        precision: Precision of the engines.

    Raises:
        ExportError: The module's outputs do not fit the spec.
    """
    import torch

    spec = recipe.spec
    length = SEQUENCE if spec.states else 1
    sequences = [
        [recipe.examples(sizes, seed + _STRIDE * frame) for frame in range(length)]
        for seed in seeds
    ]
    arrays = [
        [{name: tensor.numpy() for name, tensor in frame.items()} for frame in sequence]
        for sequence in sequences
    ]

    def in_torch(inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return run_torch(module, spec, tensors)

    expected = [carried(in_torch, spec, sequence) for sequence in arrays]
    rows: list[Parity] = []
    for engine in engines:
        actual = [carried(engine.run, spec, sequence) for sequence in arrays]
        rows += _rows(spec, engine, expected, actual, sizes, precision)
    return rows


#: From the seed of one frame of a sequence to that of the next; no other sequence has them.
_STRIDE = 1000


def agreement(
    spec: ModelSpec,
    engines: Sequence[Engine],
    inputs: Sequence[Arrays],
    sizes: Mapping[str, int],
    precision: str,
) -> list[Parity]:
    """Every other engine against the first, for a graph without a torch module.

    The first engine is also compared with its own second run: a graph must repeat itself.

    Args:
        spec: The model's spec.
        engines: At least one.
        inputs: Arrays by name, one mapping per run; for a model with states, the frames of one
            sequence, which is repeated up to `SEQUENCE` frames.
        sizes: Size along each dynamic axis.
        precision: Precision of the engines.

    Raises:
        ExportError: An output of the first engine is not finite, or not of the spec's size.
    """
    first, others = engines[0], [*engines[1:], engines[0]]
    sequences = [[arrays] for arrays in inputs]
    if spec.states:
        sequences = [[inputs[frame % len(inputs)] for frame in range(SEQUENCE)]]
    expected = [carried(first.run, spec, sequence) for sequence in sequences]
    for tensor in graph_outputs(spec):
        for outputs in itertools.chain(*expected):
            _require_size(tensor, outputs[tensor.name], sizes)
            require_finite(tensor, outputs[tensor.name], "Fix the graph, or the ranges of its spec")
    rows: list[Parity] = []
    for engine in others:
        actual = [carried(engine.run, spec, sequence) for sequence in sequences]
        rows += _rows(spec, engine, expected, actual, sizes, precision)
    return rows


def _require_size(tensor: TensorSpec, array: np.ndarray, sizes: Mapping[str, int]) -> None:
    """Raise `ExportError` unless an output has the size that the spec says, at `sizes`."""
    try:
        tensor.check(array, dict(sizes))
    except ArgumentError as error:
        at = ", ".join(f"{name} {size}" for name, size in sizes.items()) or "its fixed size"
        raise ExportError(
            f"at {at}, {error.wanted}",
            error.got,
            "Correct the sizes in the spec: `height / 4` follows height, a number is fixed",
        ) from error


def carried(
    run: Callable[[Arrays], Arrays], spec: ModelSpec, sequence: Sequence[Arrays]
) -> list[Arrays]:
    """Outputs of every frame of a sequence; each frame gets the states that the last one returned.

    Args:
        run: From inputs to outputs, by name.
        spec: Of the model.
        sequence: Inputs of each frame; the states of all but the first are replaced.
    """
    states: dict[str, np.ndarray] = {}
    outputs = []
    for frame in sequence:
        outputs.append(run({**frame, **states}))
        states = {f"{state.name}_in": outputs[-1][f"{state.name}_out"] for state in spec.states}
    return outputs


def _rows(
    spec: ModelSpec,
    engine: Engine,
    expected: Sequence[Sequence[Arrays]],
    actual: Sequence[Sequence[Arrays]],
    sizes: Mapping[str, int],
    precision: str,
) -> list[Parity]:
    """A row per output and state: one engine against the reference, over all sequences."""
    pairs = list(zip(itertools.chain(*expected), itertools.chain(*actual), strict=True))
    rows = []
    for tensor in graph_outputs(spec):
        name = tensor.name
        gaps = [measure(tensor, one[name], other[name], spec, sizes) for one, other in pairs]
        rows.append(
            Parity(
                runtime=engine.name,
                kernels=engine.kernels,
                precision=precision,
                output=name,
                unit=unit_of(tensor),
                sizes=sizes,
                inputs=len(expected),
                worst=float(max(gap.distances.max(initial=0.0) for gap in gaps)),
                mean=float(np.mean([gap.distances.mean() for gap in gaps])),
                tolerance=tensor.tolerance or 0.0,
                spread=spread([one[name] for one, _ in pairs]),
                frames=len(expected[0]),
                dice=_lowest_dice(gaps),
                ranks_changed=sum(gap.ranks_changed for gap in gaps),
            )
        )
    return rows


def _lowest_dice(gaps: Sequence[Gap]) -> dict[str, float]:
    names = dict.fromkeys(name for gap in gaps for name in gap.dice)
    return {name: min(gap.dice.get(name, 1.0) for gap in gaps) for name in names}


def require(rows: Sequence[Parity], spec: ModelSpec, reference: str = "torch") -> None:
    """Raise `ExportError` for the first row out of tolerance.

    A graph that is right at one size and wrong at another was traced along one branch of the
    module; the remedy then says so.

    Args:
        rows: The comparisons.
        spec: The model's spec.
        reference: What the rows were compared with, in words.
    """
    for row in rows:
        if row.passed:
            continue
        elsewhere = any(
            other.passed and (other.runtime, other.output) == (row.runtime, row.output)
            for other in rows
        )
        raise ExportError(
            f"{row.output} of {spec.name} in {row.runtime} ({row.kernels}) within "
            f"{row.tolerance} {row.unit} of {reference}",
            f"{row.worst:.3g} {row.unit} at {dict(row.sizes) or 'its fixed size'}"
            + (f", {row.details}" if row.details else "")
            + (", and less at another size" if elsewhere else ""),
            "Sizes and values may not decide the control flow: the graph has only one branch"
            if elsewhere
            else "State a larger tolerance in the spec if that is good enough, or export parts of "
            "the module with separate recipes to find the operator that differs",
        )


def require_tolerances(spec: ModelSpec) -> None:
    """Raise `ExportError` unless every floating-point output and state has a tolerance.

    Integers do not need one: without it they must be equal.
    """
    silent = [
        tensor.name
        for tensor in graph_outputs(spec)
        if tensor.tolerance is None and np.dtype(tensor.dtype).kind == "f"
    ]
    if silent:
        raise ExportError(
            f"a tolerance for every output and state of {spec.name}",
            f"none for {', '.join(silent)}",
            "State in the spec how much two runtimes may differ, in its unit: tolerance=0.01",
        )
