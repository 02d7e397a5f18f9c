"""The torch module that runtimes are compared with: it must repeat itself and fit its spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.errors import ArgumentError, ExportError
from cineflow.export.check.units import absolute_difference
from cineflow.export.recipe import ANYTHING
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.spec import ModelSpec, TensorSpec

if TYPE_CHECKING:
    import torch


def require_repeatable(
    module: torch.nn.Module, spec: ModelSpec, examples: Mapping[str, torch.Tensor]
) -> None:
    """Raise `ExportError` unless the module returns the same result for the same input twice.

    Values kept in Python between calls, and random numbers, would be frozen into the graph.
    """
    first, second = (run_torch(module, spec, examples) for _ in range(2))
    for name, value in first.items():
        gap = float(absolute_difference(value, second[name]).max(initial=0.0))
        if gap > 0:
            raise ExportError(
                f"{spec.name} to return the same result for the same input",
                f"{name} differs by {gap:.3g}",
                "Make values kept between calls a state of the spec, and draw no random numbers",
            )


def run_torch(
    module: torch.nn.Module, spec: ModelSpec, examples: Mapping[str, torch.Tensor]
) -> dict[str, np.ndarray]:
    """Outputs of the module by name.

    Raises:
        ExportError: It fails, or does not return the tensors of the spec (number, dtypes, shapes),
            or returns values that are not finite.
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
    sizes: dict[str, int] = {}
    for tensor in graph_inputs(spec):
        tensor.check(examples[tensor.name].numpy(), sizes)
    for tensor in tensors:
        try:
            tensor.check(named[tensor.name], sizes)
        except ArgumentError as error:
            raise ExportError(
                f"forward of {spec.name} to return {error.wanted}",
                error.got,
                "Make the outputs of the spec and what forward returns the same",
            ) from error
    return named


def _array(tensor: TensorSpec, value: Any) -> np.ndarray:
    """One output of a module as an array; refused if nothing can be compared with it."""
    import torch

    remedy = f"Let forward return {tensor.name} as a {tensor.dtype} tensor"
    if not isinstance(value, torch.Tensor):
        got = type(value).__name__
        raise ExportError(f"a tensor for the output {tensor.name}", got, remedy)
    if value.dtype is torch.bfloat16:  # NumPy has no such type
        raise ExportError(f"{tensor.name}: {tensor.dtype}", "bfloat16", remedy)
    array: np.ndarray = value.numpy()
    require_finite(
        tensor, array, "Look for NaN in the checkpoint and in the example inputs of the recipe"
    )
    return array


def require_finite(tensor: TensorSpec, array: np.ndarray, remedy: str) -> None:
    """Raise `ExportError` unless `array` is finite.

    NaN equals NaN in a comparison, so a model that returns only NaN would pass.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ExportError(
            f"finite values of {tensor.name} for the inputs tried",
            f"{int((~np.isfinite(array)).sum())} of {array.size} are not finite",
            remedy,
        )
