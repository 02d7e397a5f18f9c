"""Random inputs for a graph without a recipe."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cineflow.runtime.bundle import graph_inputs
from cineflow.spec import ModelSpec
from cineflow.spec.axes import size_of

#: Range of random inputs per unit; -1..1 for all others.
_RANGES = {"grey level": (0.0, 255.0), "probability": (0.0, 1.0)}


def random_inputs(spec: ModelSpec, sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Random inputs by name, in a range that suits each unit."""
    random = np.random.default_rng(seed)
    inputs = {}
    for tensor in graph_inputs(spec):
        shape = [size_of(dim, sizes) for dim in tensor.shape]
        dtype = np.dtype(tensor.dtype)
        if dtype.kind == "f":
            low, high = _RANGES.get(tensor.unit, (-1.0, 1.0))
            inputs[tensor.name] = random.uniform(low, high, shape).astype(dtype)
        else:
            highest = 2 if dtype.kind == "b" else 100
            inputs[tensor.name] = random.integers(0, highest, shape).astype(dtype)
    return inputs
