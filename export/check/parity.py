"""Parity: torch against runtimes, or runtimes among themselves, in each output's own unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.errors import ExportError
from cineflow.export.check.module import absolute_difference, require_finite, run_torch
from cineflow.export.recipe import Recipe
from cineflow.runtime.bundle import graph_outputs
from cineflow.runtime.engine import Engine
from cineflow.spec import ModelSpec

if TYPE_CHECKING:
    import torch

#: Significant digits in a manifest; more would differ from one CPU to the next.
DIGITS = 3


@dataclass(frozen=True)
class Parity:
    """How far one runtime is from torch on one output, over all inputs tried at one size.

    Attributes:
        runtime: Engine name.
        kernels: What ran our own ops.
        precision: Storage type of the features ("fp32").
        output: Output name.
        unit: Unit of the three figures below.
        sizes: Size along each dynamic axis.
        inputs: Number of inputs tried.
        worst: Largest absolute difference; infinite where only one side is finite.
        mean: Mean absolute difference.
        tolerance: Largest accepted difference, from the spec; 0 where the spec has none.
        spread: Standard deviation of torch's own output, so that a constant output shows.
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

    @property
    def passed(self) -> bool:
        """Whether the worst difference is within the tolerance."""
        return self.worst <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest or report, rounded to `DIGITS` significant digits."""
        rounded = {key: figure(getattr(self, key)) for key in ("worst", "mean", "spread")}
        return asdict(self) | rounded | {"sizes": dict(self.sizes), "passed": self.passed}


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
        seeds: One input per seed.
        precision: Precision of the engines.

    Raises:
        ExportError: The module's outputs do not fit the spec.
    """
    names = [tensor.name for tensor in graph_outputs(recipe.spec)]
    differences: dict[tuple[int, str], list[np.ndarray]] = {}
    reference: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for seed in seeds:
        examples = recipe.examples(sizes, seed)
        expected = run_torch(module, recipe.spec, examples)
        for name in names:
            reference[name].append(expected[name])
        arrays = {name: tensor.numpy() for name, tensor in examples.items()}
        for rank, engine in enumerate(engines):
            actual = engine.run(arrays)
            for name in names:
                found = absolute_difference(expected[name], actual[name])
                differences.setdefault((rank, name), []).append(found)
    return [
        Parity(
            runtime=engine.name,
            kernels=engine.kernels,
            precision=precision,
            output=tensor.name,
            unit=tensor.unit,
            sizes=sizes,
            inputs=len(seeds),
            worst=float(max(part.max(initial=0.0) for part in differences[rank, tensor.name])),
            mean=float(np.mean([part.mean() for part in differences[rank, tensor.name]])),
            tolerance=tensor.tolerance or 0.0,
            spread=float(np.std(np.stack(reference[tensor.name]))),
        )
        for rank, engine in enumerate(engines)
        for tensor in graph_outputs(recipe.spec)
    ]


def agreement(
    spec: ModelSpec,
    engines: Sequence[Engine],
    inputs: Sequence[Mapping[str, np.ndarray]],
    sizes: Mapping[str, int],
    precision: str,
) -> list[Parity]:
    """Every other engine against the first, for a graph without a torch module.

    The first engine is also compared with its own second run: a graph must repeat itself.

    Args:
        spec: The model's spec.
        engines: At least one.
        inputs: Arrays by name, one mapping per run.
        sizes: Size along each dynamic axis.
        precision: Precision of the engines.

    Raises:
        ExportError: An output of the first engine is not finite.
    """
    first, others = engines[0], [*engines[1:], engines[0]]
    expected = [first.run(arrays) for arrays in inputs]
    for tensor in graph_outputs(spec):
        for one in expected:
            require_finite(tensor, one[tensor.name], "Fix the graph, or the ranges of its spec")
    rows = []
    for engine in others:
        actual = [engine.run(arrays) for arrays in inputs]
        for tensor in graph_outputs(spec):
            gaps = [
                absolute_difference(one[tensor.name], other[tensor.name])
                for one, other in zip(expected, actual, strict=True)
            ]
            rows.append(
                Parity(
                    runtime=engine.name,
                    kernels=engine.kernels,
                    precision=precision,
                    output=tensor.name,
                    unit=tensor.unit,
                    sizes=sizes,
                    inputs=len(inputs),
                    worst=float(max(gap.max(initial=0.0) for gap in gaps)),
                    mean=float(np.mean([gap.mean() for gap in gaps])),
                    tolerance=tensor.tolerance or 0.0,
                    spread=float(np.std(np.stack([one[tensor.name] for one in expected]))),
                )
            )
    return rows


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
