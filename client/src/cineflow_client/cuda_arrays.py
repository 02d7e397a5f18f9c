"""Arrays on a CUDA card, of any library that has `__cuda_array_interface__` or DLPack.

Such an array is copied once, from the card to where it travels: a slot of the ring, or the memory
of a message. What its producer has queued for it is waited for before. The formats are those of
https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html (versions 0 to 3) and
https://dmlc.github.io/dlpack/latest/ (versions before 1).
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from cineflow_client.card_array import CardArray
from cineflow_client.errors import FrameRejected


class HasCudaInterface(Protocol):
    """An array on a card: CuPy, Numba, torch."""

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]: ...


class HasDlpack(Protocol):
    """An array on a card: CuPy, torch, JAX."""

    def __dlpack__(self, *, stream: Any = ...) -> Any: ...

    def __dlpack_device__(self) -> tuple[Any, int]: ...


#: What a frame may be.
Picture = np.ndarray | HasCudaInterface | HasDlpack

#: The stream that DLPack's producers are asked to order their work before: CUDA's default one,
#: which each of them takes.
_DEFAULT_STREAM = 1
# DLDeviceType
_CPU, _CUDA, _CUDA_HOST, _CUDA_MANAGED = 1, 2, 3, 13
#: NumPy's kinds by DLDataTypeCode.
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}
_MOST_AXES = 32


def array_of(value: Any) -> np.ndarray | CardArray:
    """What was given, as an array in host memory or on a card.

    Raises:
        FrameRejected: It says that it is on a card, and the rest of what it says does not fit.
    """
    if isinstance(value, np.ndarray):
        return np.asarray(value)  # without what a subclass makes of it
    device = _told(value, "__dlpack_device__")
    interface = _told(value, "__cuda_array_interface__")
    if device is None and interface is None:
        return np.asarray(value)
    try:
        kind = None if device is None else operator.index(device()[0])
        # Before version 3 it does not say what to wait for. DLPack's producers see to that.
        orders = isinstance(interface, Mapping) and interface.get("version", 0) >= 3
        if interface is not None and (orders or kind not in (_CUDA, _CUDA_MANAGED)):
            return _from_interface(value, interface)
        if kind in (_CUDA, _CUDA_MANAGED):
            return _from_dlpack(value)
    except FrameRejected:
        raise
    except Exception as error:  # whatever a foreign object raises, or is made of
        raise _malformed(f"{type(error).__name__}: {error}") from error
    if kind not in (_CPU, _CUDA_HOST):
        raise FrameRejected(
            "an array in host memory or on a CUDA card",
            f"one on a device of another kind ({kind}, as DLPack counts)",
            "Copy it to host memory first.",
        )
    return np.asarray(value)


def _told(value: Any, name: str) -> Any:
    """An attribute; None where it is missing, or where the object refuses it."""
    try:
        return getattr(value, name, None)
    except Exception:  # torch does so for a tensor that needs a gradient, and DLPack says why
        return None


def _from_interface(owner: Any, interface: Any) -> CardArray:
    """The array that a `__cuda_array_interface__` describes."""
    dtype = np.dtype(str(interface["typestr"]))
    if dtype.hasobject or dtype != dtype.newbyteorder("="):
        raise FrameRejected(
            "numbers in this machine's byte order",
            str(interface["typestr"]),
            "Convert the array on the card.",
        )
    if interface.get("mask") is not None:
        raise FrameRejected("an array without a mask", "one with a mask", "Fill it first.")
    shape = _integers(interface["shape"], at_least=0)
    strides = interface.get("strides")
    if strides is not None:
        strides = _integers(strides)
    address = operator.index(interface["data"][0])
    version, stream = operator.index(interface["version"]), None
    if version >= 3 and interface.get("stream") is not None:
        stream = operator.index(interface["stream"])
        if stream <= 0:
            raise FrameRejected(
                "a stream that is not 0, as version 3 of the interface has it",
                str(stream),
                "1 is CUDA's default stream, 2 the one of the thread.",
            )
    ready = version >= 3 and stream is None
    return CardArray(owner, address, shape, strides, dtype, stream, ready=ready)


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


#: Raises ValueError for a capsule of another name.
_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _from_dlpack(owner: Any) -> CardArray:
    """The array in a DLPack capsule, which keeps it, and frees it when it goes itself."""
    capsule = owner.__dlpack__(stream=_DEFAULT_STREAM)
    tensor = _Tensor.from_address(_pointer_in(capsule, b"dltensor"))
    if not 0 <= tensor.ndim <= _MOST_AXES:
        raise _malformed(f"{tensor.ndim} axes")
    kind = _KINDS.get(tensor.code)
    if kind is None or tensor.lanes != 1 or tensor.bits % 8:
        raise FrameRejected(
            "numbers of a type that NumPy has",
            f"DLPack's type {tensor.code} of {tensor.bits} bits, {tensor.lanes} lanes",
            "Convert the array on the card.",
        )
    dtype = np.dtype(f"{kind}{tensor.bits // 8}")
    shape = _integers(tensor.shape[: tensor.ndim] if tensor.ndim else (), at_least=0)
    strides = None
    if tensor.ndim and tensor.strides:
        strides = tuple(step * dtype.itemsize for step in tensor.strides[: tensor.ndim])
    address = (tensor.data or 0) + tensor.byte_offset if tensor.data else 0
    return CardArray((owner, capsule), address, shape, strides, dtype, _DEFAULT_STREAM)


def _integers(values: Iterable[Any], at_least: int | None = None) -> tuple[int, ...]:
    found = tuple(operator.index(value) for value in values)
    if len(found) > _MOST_AXES or (at_least is not None and any(one < at_least for one in found)):
        raise _malformed(f"the sizes {found}")
    return found


def _malformed(got: str) -> FrameRejected:
    return FrameRejected(
        "an array on a card that describes itself (__cuda_array_interface__ or DLPack)",
        got,
        "CuPy and torch make such arrays; tensor.detach() gives one without a gradient.",
    )
