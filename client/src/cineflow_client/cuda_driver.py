"""CUDA's driver, for copies from a card. It is loaded when the first array on a card comes.

The driver keeps one context for each card and process, the primary one, which CUDA's runtime, CuPy
and torch use. Memory may also belong to a context that the program made itself. Every call here
makes the memory's context current for its own time, and leaves the thread as it was.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cineflow_client.errors import CardUnavailable, FrameRejected

#: What the driver's library is called on Linux.
LIBRARY = "libcuda.so.1"

_INVALID_VALUE = 1
# CUpointer_attribute
_CONTEXT, _MEMORY_TYPE, _ORDINAL = 1, 2, 9
# CUmemorytype
_ON_HOST, _ON_CARD = 1, 2
#: This thread's own stream: a copy on it does not wait for what other threads have queued.
_PER_THREAD = 2

_FUNCTIONS = (
    "cuInit",
    "cuGetErrorName",
    "cuPointerGetAttribute",
    "cuDeviceGet",
    "cuDevicePrimaryCtxRetain",
    "cuCtxPushCurrent_v2",
    "cuCtxPopCurrent_v2",
    "cuCtxSynchronize",
    "cuStreamSynchronize",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpy2DAsync_v2",
)


class _Copy2D(ctypes.Structure):
    """CUDA_MEMCPY2D: the source, the destination, and the bytes and rows between them."""

    _fields_ = (
        ("srcXInBytes", ctypes.c_size_t),
        ("srcY", ctypes.c_size_t),
        ("srcMemoryType", ctypes.c_int),
        ("srcHost", ctypes.c_void_p),
        ("srcDevice", ctypes.c_uint64),
        ("srcArray", ctypes.c_void_p),
        ("srcPitch", ctypes.c_size_t),
        ("dstXInBytes", ctypes.c_size_t),
        ("dstY", ctypes.c_size_t),
        ("dstMemoryType", ctypes.c_int),
        ("dstHost", ctypes.c_void_p),
        ("dstDevice", ctypes.c_uint64),
        ("dstArray", ctypes.c_void_p),
        ("dstPitch", ctypes.c_size_t),
        ("WidthInBytes", ctypes.c_size_t),
        ("Height", ctypes.c_size_t),
    )


class Driver:
    """The driver of this process. Safe from any thread.

    Raises:
        CardUnavailable: There is no driver, or no card that it can use.
    """

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL(LIBRARY)
            self._calls: dict[str, Any] = {name: getattr(library, name) for name in _FUNCTIONS}
        except (OSError, AttributeError) as error:
            raise CardUnavailable(
                f"CUDA's driver ({LIBRARY}), which reads an array on a card",
                str(error),
                "Install NVIDIA's driver, or send the frame as a NumPy array.",
            ) from error
        self._primary: dict[int, int] = {}  # contexts by the number of their card
        self._call("a card that CUDA's driver can use", "cuInit", 0)

    def context(self, first: int, last: int) -> int:
        """The context that memory belongs to.

        Args:
            first: Address of its first byte.
            last: Address of its last byte.

        Raises:
            FrameRejected: They are not two addresses in the memory of one card.
            CardUnavailable: The driver cannot say, or does not give the card.
        """
        card = self._attribute(_ORDINAL, ctypes.c_int, first)
        if self._attribute(_ORDINAL, ctypes.c_int, last) != card:
            raise FrameRejected(
                "an array in the memory of one card",
                f"one that begins on card {card} at {first:#x} and ends at {last:#x} on another",
                "Copy it within a card first.",
            )
        if self._attribute(_MEMORY_TYPE, ctypes.c_int, first) == _ON_HOST:
            raise FrameRejected(
                "an array in the memory of a card",
                f"address {first:#x}, which is host memory",
                "Send it as a NumPy array.",
            )
        own = self._attribute(_CONTEXT, ctypes.c_void_p, first)
        return own if own else self._primary_context(card)

    def wait(self, context: int, stream: int | None) -> None:
        """Wait until what was queued on a stream is done; None: on any stream of the context."""
        wanted = "work on the card that ends well"
        with self._current(context):
            if stream is None:
                self._call(wanted, "cuCtxSynchronize")
            else:
                self._call(wanted, "cuStreamSynchronize", ctypes.c_void_p(stream))

    @contextmanager
    def copying(self, context: int) -> Iterator[Copier]:
        """Copy within this block; at its end every copy is done, also after an error."""
        with self._current(context):
            try:
                yield Copier(self._call)
            finally:
                stream = ctypes.c_void_p(_PER_THREAD)
                self._call("a copy from the card", "cuStreamSynchronize", stream)

    def _attribute(self, attribute: int, kind: Any, address: int) -> int:
        found = kind()
        status = self._calls["cuPointerGetAttribute"](
            ctypes.byref(found), attribute, ctypes.c_uint64(address)
        )
        if status == _INVALID_VALUE:
            # Host memory that CUDA never saw has no context either.
            raise FrameRejected(
                "an array in the memory of a card that this process can reach",
                f"address {address:#x}, which its driver does not know",
                "Make the array in this process, on a card that it sees (CUDA_VISIBLE_DEVICES), "
                "and keep it until the frame was sent.",
            )
        self._require(status, "an array whose card the driver knows")
        return int(found.value or 0)

    def _primary_context(self, card: int) -> int:
        """Kept until the program ends, as the libraries do that made the array."""
        if card not in self._primary:
            device, context = ctypes.c_int(), ctypes.c_void_p()
            wanted = f"a context on card {card}"
            self._call(wanted, "cuDeviceGet", ctypes.byref(device), card)
            self._call(wanted, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
            self._primary[card] = int(context.value or 0)
        return self._primary[card]

    @contextmanager
    def _current(self, context: int) -> Iterator[None]:
        self._call("the array's context", "cuCtxPushCurrent_v2", ctypes.c_void_p(context))
        try:
            yield
        finally:
            popped = ctypes.c_void_p()
            self._calls["cuCtxPopCurrent_v2"](ctypes.byref(popped))

    def _call(self, wanted: str, name: str, *arguments: Any) -> None:
        self._require(self._calls[name](*arguments), wanted)

    def _require(self, status: int, wanted: str) -> None:
        if status == 0:
            return
        self._primary.clear()  # a context may be gone; the next frame asks for it again
        name = ctypes.c_char_p()
        self._calls["cuGetErrorName"](status, ctypes.byref(name))
        raise CardUnavailable(
            wanted,
            f"{(name.value or b'an error without a name').decode()} ({status})",
            "`nvidia-smi` shows the cards. Until it works again, send NumPy arrays.",
        )


class Copier:
    """Queues copies to host memory. Made by `Driver.copying`."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def row(self, target: int, source: int, byte_size: int) -> None:
        """Copy bytes in one piece."""
        self._call(
            "a copy from the card",
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(target),
            ctypes.c_uint64(source),
            ctypes.c_size_t(byte_size),
            ctypes.c_void_p(_PER_THREAD),
        )

    def rows(
        self,
        target: int,
        target_pitch: int,
        source: int,
        source_pitch: int,
        width: int,
        height: int,
    ) -> None:
        """Copy `height` rows of `width` bytes, which begin `pitch` bytes apart."""
        copy = _Copy2D(
            srcMemoryType=_ON_CARD,
            srcDevice=source,
            srcPitch=source_pitch,
            dstMemoryType=_ON_HOST,
            dstHost=target,
            dstPitch=target_pitch,
            WidthInBytes=width,
            Height=height,
        )
        stream = ctypes.c_void_p(_PER_THREAD)
        self._call("a copy from the card", "cuMemcpy2DAsync_v2", ctypes.byref(copy), stream)


_lock = threading.Lock()
_driver: Driver | None = None
_owner = 0  # the process that loaded it


def driver() -> Driver:
    """The driver of this process.

    Raises:
        CardUnavailable: As `Driver`, or this is a fork of a process that used CUDA, where CUDA does
            not work.
    """
    global _driver, _owner
    with _lock:
        if _driver is None:
            _driver, _owner = Driver(), os.getpid()
        if os.getpid() != _owner:
            raise CardUnavailable(
                "a process in which CUDA works",
                f"process {os.getpid()}, a fork of process {_owner}, which used CUDA before",
                "Start it anew (multiprocessing: the start method spawn), or send NumPy arrays.",
            )
        return _driver
