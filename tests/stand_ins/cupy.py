"""Enough of CuPy for `cineflow.ops`, on the CPU: its arrays say that they lie on a CUDA device.

So the ops' CuPy front runs under the CUDA shim; on a GPU the real CuPy takes its place.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from tests.core.cuda_backend import DeviceArray

#: Handle of the stream that stands for CuPy's current one.
STREAM = 0x5EED


class Array(DeviceArray):
    """What `cupy.ndarray` says of its form."""

    shape = property(lambda self: self.array.shape)
    strides = property(lambda self: self.array.strides)
    dtype = property(lambda self: self.array.dtype)
    ndim = property(lambda self: self.array.ndim)
    itemsize = property(lambda self: self.array.itemsize)

    def transpose(self, *axes: int) -> Array:
        return Array(self.array.transpose(*axes))


def make() -> types.ModuleType:
    """A module to stand for `cupy`."""

    def moveaxis(array: Any, source: int, destination: int) -> Array:
        return Array(np.moveaxis(array.array, source, destination))

    module = types.ModuleType("cupy")
    module.__dict__.update(
        ndarray=Array,
        float32=np.float32,
        uint8=np.uint8,
        asarray=Array,
        asnumpy=lambda array: array.array,
        array=lambda values, dtype: Array(np.array(values, dtype)),
        empty=lambda shape, dtype: Array(np.full(shape, np.nan, dtype)),
        moveaxis=moveaxis,
        cuda=types.SimpleNamespace(
            get_current_stream=lambda: types.SimpleNamespace(ptr=STREAM),
        ),
    )
    return module
