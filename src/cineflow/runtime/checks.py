"""The checks of arrays that every engine and every stream makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.ops.held import stays
from cineflow.spec import TensorSpec


def native(array: np.ndarray) -> np.ndarray:
    """The values in this machine's order of bytes; DICOM and NIfTI readers give either order.

    Runtimes and the wire take the bytes as they are, so 1.0 in the other order is 4.6e-41 to them.
    """
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check_inputs(
    wanted: Sequence[TensorSpec], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The inputs by name, in this machine's order of bytes.

    Axes with the same name must have the same size in all inputs.

    Raises:
        ArgumentError: They are not exactly the `wanted` tensors, in dtype and shape.
    """
    names = [tensor.name for tensor in wanted]
    if sorted(names) != sorted(inputs):
        raise ArgumentError(f"inputs {names}", repr(list(inputs)))
    sizes: dict[str, int] = {}
    arrays = {}
    for tensor in wanted:
        value = inputs[tensor.name]
        arrays[tensor.name] = value if stays(value) else native(value)
        tensor.check(arrays[tensor.name], sizes)
    return arrays
