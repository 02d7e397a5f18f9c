"""torch: the reference engine. It runs a module, and is never chosen for serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cineflow.errors import EngineError
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.runtime.checks import check_inputs
from cineflow.spec import ModelSpec


class TorchEngine:
    """A torch module behind the Engine protocol.

    Args:
        module: Takes the graph's inputs in order, returns its outputs in order.
        spec: Names them.
        name: Engine name ("torch", or "torch.compile" for a compiled module).
    """

    kernels = "torch.ops.cineflow"

    def __init__(self, module: Any, spec: ModelSpec, name: str = "torch") -> None:
        self.name = name
        self.model = spec.name  # a module has no graph, so there is no hash
        self.spec = spec
        self._module = module
        self._inputs = graph_inputs(spec)
        self._outputs = [tensor.name for tensor in graph_outputs(spec)]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by name, for every input by name.

        Raises:
            ArgumentError: An input does not fit the spec.
            EngineError: The module fails, or returns the wrong number of tensors.
        """
        import torch

        arrays = check_inputs(self._inputs, inputs)
        tensors = [torch.from_numpy(arrays[tensor.name]) for tensor in self._inputs]
        try:
            with torch.inference_mode():
                returned = self._module(*tensors)
        except RuntimeError as error:
            raise EngineError(f"{self.spec.name} to run in {self.name}", str(error)) from error
        values = list(returned) if isinstance(returned, tuple | list) else [returned]
        if len(values) != len(self._outputs):
            raise EngineError(f"the outputs {self._outputs}", f"{len(values)} tensors")
        return {name: v.numpy() for name, v in zip(self._outputs, values, strict=True)}
