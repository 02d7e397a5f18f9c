"""A card whose memory NumPy cannot read: `card.py` with the arrays of `cupy.py`.

Our kernels run under the CUDA shim. An array comes to host memory through `cupy.asnumpy` alone,
which counts its bytes; so an array that is read unasked is an error, as it is with CuPy.
"""

from __future__ import annotations

import ctypes
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.stand_ins import card as readable
from tests.stand_ins import cupy as cupy_stand_in

#: Handle of the engine's stream.
STREAM = 7


class Array(cupy_stand_in.Array):
    """An array of the card, with what `cineflow.runtime` uses of CuPy's."""

    card: Card

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.array.ctypes.data)

    nbytes = property(lambda self: self.array.nbytes)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __dlpack__(self, stream: int | None = None) -> object:
        assert self.card.inside > 0, "a kernel outside of the engine's stream"
        return super().__dlpack__(stream)

    def __array_function__(self, function: Any, _: Any, arguments: Any, options: Any) -> Array:
        return self._new(function(*map(_inside, arguments), **options))

    def __array_ufunc__(self, function: Any, method: str, *arguments: Any, **options: Any) -> Array:
        return self._new(getattr(function, method)(*map(_inside, arguments), **options))

    def __mul__(self, other: Any) -> Array:
        return self._new(self.array * _inside(other))

    def __add__(self, other: Any) -> Array:
        return self._new(self.array + _inside(other))

    def astype(self, dtype: Any) -> Array:
        return self._new(self.array.astype(dtype))

    def _new(self, array: Any) -> Array:
        return type(self)(np.asarray(array), self.device_index)

    def __getitem__(self, key: Any) -> Array:
        return self._new(self.array[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[key] = value

    def reshape(self, *shape: Any) -> Array:
        found = self.array.reshape(*shape)
        assert found.base is not None, "a copy"
        return self._new(found)

    def copy(self) -> Array:
        return self._new(self.array.copy())

    def all(self) -> Array:
        return self._new(self.array.all())

    def view(self, dtype: Any) -> Any:
        return self.array if dtype is np.ndarray else self._new(self.array.view(dtype))

    def set(self, value: np.ndarray, stream: Any) -> None:
        assert type(value) is np.ndarray
        assert value.dtype == self.dtype
        self.card.sent.append(value.nbytes)
        self.array[...] = value


def _inside(value: Any) -> Any:
    """An argument of a function that runs on the card."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_inside, value))
    assert not isinstance(value, np.ndarray), "an array in host memory"
    return value.array if isinstance(value, Array) else value


class Card(readable.Card):
    """See the module.

    Attributes:
        fetched_bytes: Of each array that came to host memory, in order.
        sent: Of each array that went to the card, in order.
        inside: How often the engine's stream is current now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fetched_bytes: list[int] = []
        self.sent: list[int] = []
        self.inside = 0
        self._kind = type("Array", (Array,), {"card": self})

    def empty(self, shape: Any, dtype: Any) -> Any:
        array = self._kind(np.zeros(shape, dtype))
        if self.limit and array.nbytes > self.limit:
            raise readable.OutOfMemoryError("no room for an array")
        self.buffers[array.data.ptr] = array
        return array

    def modules(self) -> dict[str, Any]:
        modules = super().modules()
        plain = modules["cupy"]
        card = self

        class Stream(plain.cuda.Stream):  # type: ignore[misc, name-defined]
            def __enter__(self) -> None:
                card.inside += 1

            def __exit__(self, *_: object) -> None:
                card.inside -= 1

        class Device(cupy_stand_in.Device):
            compute_capability = "86"

        def asnumpy(value: Any, stream: Any = None, blocking: bool = True) -> np.ndarray:
            card.fetched_bytes.append(value.nbytes)
            return np.array(value.array)

        def copy_within(to: int, value: int, size: int, kind: int, stream: int) -> None:
            assert kind == 3, "from the card to the card"
            assert card.inside > 0
            assert stream == STREAM
            ctypes.memmove(to, value, size)

        def copyto(to: Array, value: Array) -> None:
            to.array[...] = value.array

        module: ModuleType = cupy_stand_in.make()
        module.__dict__.update(
            ndarray=self._kind,
            asarray=self._kind,
            empty=self.empty,
            asnumpy=asnumpy,
            copyto=copyto,
            isfinite=lambda value: value._new(np.isfinite(value.array)),
            get_default_memory_pool=plain.get_default_memory_pool,
            cuda=SimpleNamespace(
                Device=Device,
                Stream=Stream,
                memory=plain.cuda.memory,
                runtime=SimpleNamespace(memcpyDeviceToDevice=3, memcpyAsync=copy_within),
                get_current_stream=lambda: SimpleNamespace(ptr=STREAM if card.inside else 0),
            ),
        )
        return modules | {"cupy": module}
