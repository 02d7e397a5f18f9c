"""Parity: the torch module against a runtime, in each output's own unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.errors import ArgumentError, ExportError
from cineflow.export.recipe import ANYTHING, Recipe
from cineflow.runtime.bundle import graph_outputs
from cineflow.runtime.engine import Engine
from cineflow.spec import ModelSpec, TensorSpec

if TYPE_CHECKING:
    import torch

#: Figures of a manifest keep this many digits: more would differ from one CPU to the next.
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
        tolerance: Largest accepted difference, from the spec; 0 where it states none.
        spread: Standard deviation of torch's own output, so that a constant cannot pass unseen.
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
    """`value` to `DIGITS` significant digits; None, which JSON can say, where it is not finite."""
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
        recipe: Makes the inputs, names the outputs.
        sizes: Size along each dynamic axis.
        seeds: One input per seed.
        precision: That of the engines.

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
    """Every other engine against the first, where there is no torch module to ask.

    The first is also compared with its own second run: a graph must repeat itself.
    """
    first, others = engines[0], [*engines[1:], engines[0]]
    expected = [first.run(arrays) for arrays in inputs]
    for tensor in graph_outputs(spec):
        for one in expected:
            _require_finite(tensor, one[tensor.name], "Mend the graph, or the ranges of its spec")
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
    module: the remedy says so.

    Args:
        rows: The comparisons.
        spec: Of the model.
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
            "Sizes and values may not decide the control flow: the graph has one branch only"
            if elsewhere
            else "State a larger tolerance in the spec if that is good enough, or export parts of "
            "the module by recipes of their own to find the operator that differs",
        )


def require_tolerances(spec: ModelSpec) -> None:
    """Raise `ExportError` unless every floating-point output and state has a tolerance.

    Whole numbers need none: without one they have to be equal.
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
            "State in the spec, in its unit, how far two runtimes may be apart: tolerance=0.01",
        )


def require_repeatable(
    module: torch.nn.Module, spec: ModelSpec, examples: Mapping[str, torch.Tensor]
) -> None:
    """Raise `ExportError` unless the module answers the same input alike twice.

    What it remembers in Python between calls, or draws at random, would be frozen into the graph.
    """
    first, second = (run_torch(module, spec, examples) for _ in range(2))
    for name, value in first.items():
        gap = float(absolute_difference(value, second[name]).max(initial=0.0))
        if gap > 0:
            raise ExportError(
                f"{spec.name} to answer the same input alike twice",
                f"{name} differs by {gap:.3g}",
                "Make what it remembers a state of the spec, and draw nothing at random",
            )


def run_torch(
    module: torch.nn.Module, spec: ModelSpec, examples: Mapping[str, torch.Tensor]
) -> dict[str, np.ndarray]:
    """Outputs of the module by name.

    Raises:
        ExportError: It fails, or returns another number of tensors, no tensors, other dtypes or
            shapes, or values that are not finite.
    """
    import torch

    try:
        with torch.inference_mode():
            returned = module(*examples.values())
    except ANYTHING as error:
        raise ExportError(
            f"forward of {spec.name} to take {[list(v.shape) for v in examples.values()]}",
            f"{type(error).__name__}: {error}",
            "It takes the inputs of the spec in order, then the states",
        ) from error
    values = list(returned) if isinstance(returned, tuple | list) else [returned]
    tensors = graph_outputs(spec)
    if len(values) != len(tensors):
        raise ExportError(
            f"{spec.name} to return {[tensor.name for tensor in tensors]}",
            f"{len(values)} tensors",
            "Make the outputs of the spec and what forward returns the same",
        )
    named = {t.name: _array(t, value) for t, value in zip(tensors, values, strict=True)}
    for tensor in tensors:
        try:
            tensor.check(named[tensor.name])
        except ArgumentError as error:
            raise ExportError(
                f"forward of {spec.name} to return {error.wanted}",
                error.got,
                "Make the outputs of the spec and what forward returns the same",
            ) from error
    return named


def _array(tensor: TensorSpec, value: Any) -> np.ndarray:
    """One output of a module as an array, if it is one that something can be proven of."""
    import torch

    remedy = f"Let forward return {tensor.name} as a {tensor.dtype} tensor"
    if not isinstance(value, torch.Tensor):
        got = type(value).__name__
        raise ExportError(f"a tensor for the output {tensor.name}", got, remedy)
    if value.dtype is torch.bfloat16:  # NumPy has no such type
        raise ExportError(f"{tensor.name}: {tensor.dtype}", "bfloat16", remedy)
    array: np.ndarray = value.numpy()
    _require_finite(
        tensor, array, "Look for NaN in the checkpoint, and at the example inputs of the recipe"
    )
    return array


def _require_finite(tensor: TensorSpec, array: np.ndarray, remedy: str) -> None:
    """NaN agrees with NaN: a model that returns nothing else would pass every comparison."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ExportError(
            f"finite values of {tensor.name} for the inputs tried",
            f"{int((~np.isfinite(array)).sum())} of {array.size} are not finite",
            remedy,
        )


def absolute_difference(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """|expected - actual| in f64; a non-finite value is 0 from its like and infinite from all else.

    Raises:
        ExportError: The shapes differ.
    """
    if expected.shape != actual.shape:
        raise ExportError(
            f"a result of {list(expected.shape)}",
            f"{list(actual.shape)}",
            "The graph does not follow its dynamic axes: compute sizes from the inputs' shapes",
        )
    left, right = expected.astype(np.float64), actual.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(left - right))
    return np.where(np.isnan(gap), np.inf, gap)
