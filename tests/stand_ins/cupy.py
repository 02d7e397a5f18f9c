"""Enough of CuPy for `cineflow.ops`, on the CPU: its arrays say that they lie on a CUDA device.

So the ops' CuPy front runs under the CUDA shim; on a GPU the real CuPy takes its place. There are
two devices. As in CuPy, memory comes from the current one, each has a current stream of its own,
and an array is exported only while its device is current.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from tests.core.cuda_backend import DeviceArray

#: Handles of the streams that stand for CuPy's current ones, one for each device.
STREAMS = (0x5EED, 0xFEED)


class Device:
    """`cupy.cuda.Device`: current inside a `with` block."""

    current = 0

    def __init__(self, index: int) -> None:
        self.id = index
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(Device.current)
        Device.current = self.id
        return self

    def __exit__(self, *_: object) -> None:
        Device.current = self._before.pop()


class Array(DeviceArray):
    """What `cupy.ndarray` says of its form."""

    def __init__(self, array: np.ndarray, device: int | None = None) -> None:
        super().__init__(array, device=Device.current if device is None else device)

    shape = property(lambda self: self.array.shape)
    strides = property(lambda self: self.array.strides)
    dtype = property(lambda self: self.array.dtype)
    ndim = property(lambda self: self.array.ndim)
    itemsize = property(lambda self: self.array.itemsize)
    device = property(lambda self: Device(self.device_index))

    def transpose(self, *axes: int) -> Array:
        return Array(self.array.transpose(*axes), self.device_index)

    def __dlpack__(self, stream: int | None = None) -> object:
        if self.device_index != Device.current:
            raise BufferError("the array is not on the current device")
        return super().__dlpack__(stream)


def make() -> types.ModuleType:
    """A module to stand for `cupy`."""

    def moveaxis(array: Any, source: int, destination: int) -> Array:
        return Array(np.moveaxis(array.array, source, destination), array.device_index)

    module = types.ModuleType("cupy")
    module.__dict__.update(
        ndarray=Array,
        float32=np.float32,
        uint8=np.uint8,
        asarray=Array,
        asnumpy=lambda array: array.array,
        empty=lambda shape, dtype: Array(np.full(shape, np.nan, dtype)),
        moveaxis=moveaxis,
        cuda=types.SimpleNamespace(
            Device=Device,
            get_current_stream=lambda: types.SimpleNamespace(ptr=STREAMS[Device.current]),
        ),
    )
    return module
