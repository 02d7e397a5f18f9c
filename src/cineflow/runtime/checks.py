"""The check of inputs that every engine makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.spec import TensorSpec


def check_inputs(wanted: Sequence[TensorSpec], inputs: Mapping[str, np.ndarray]) -> None:
    """Raise `ArgumentError` unless `inputs` are exactly the `wanted` tensors, in dtype and shape.

    Axes with the same name must have the same size in all inputs.
    """
    names = [tensor.name for tensor in wanted]
    if sorted(names) != sorted(inputs):
        raise ArgumentError(f"inputs {names}", repr(list(inputs)))
    sizes: dict[str, int] = {}
    for tensor in wanted:
        tensor.check(inputs[tensor.name], sizes)
