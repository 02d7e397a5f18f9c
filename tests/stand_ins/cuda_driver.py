"""A card for arrays of a client: `cuda_driver.c`, and arrays in its memory."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from tests.stand_ins.dlpack import TENSOR, ManagedTensor, new_capsule

#: A stream of the producer.
STREAM = 0x7777
_SOURCE = Path(__file__).with_suffix(".c")


def build(folder: Path) -> Path | None:
    """The library; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "libcuda.so.1"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, _SOURCE]
    subprocess.run(list(map(str, command)), check=True)
    return library


class Card:
    """The card of a library.

    Args:
        library: Where it is.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.card_allocate.restype = ctypes.c_uint64

    def number(self, name: str) -> ctypes.c_uint64:
        """What the driver counts, or the status that it gives: variables of the library."""
        kind: Any = ctypes.c_uint64 if name in ("copied_bytes", "waited_for") else ctypes.c_int
        return kind.in_dll(self._library, name)

    def contexts(self) -> int:
        """How many contexts this thread has made current and not put back."""
        return int(self._library.context_depth())

    def allocate(self, size: int, kind: int = 0) -> int:
        """An address on the card; see `card_allocate` for the kinds."""
        return int(self._library.card_allocate(ctypes.c_size_t(size), kind))

    def free(self) -> None:
        """Free all memory, and forget what was counted."""
        self._library.card_free_all()

    def order(self, first: int, then: int) -> None:
        """Let a stream wait for another one."""
        self._library.card_order(ctypes.c_uint64(first), ctypes.c_uint64(then))

    def queue(self, address: int, data: np.ndarray, stream: int = STREAM) -> None:
        """Queue what writes `data` to an address."""
        said = data.tobytes()
        status = self._library.card_write(
            ctypes.c_uint64(stream), ctypes.c_uint64(address), said, ctypes.c_size_t(len(said))
        )
        assert status == 0

    def array(
        self, values: np.ndarray, *, kind: int = 0, gap: int = 0, **said: Any
    ) -> InterfaceArray:
        """An array whose values its stream is about to write.

        Args:
            values: Of it.
            kind: Of its memory.
            gap: Bytes between two of its rows.
            said: What its interface says instead.
        """
        rows = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
        pitch = rows.shape[1] * values.itemsize + gap
        address = self.allocate(max(len(rows) * pitch, 1), kind)
        for at, row in enumerate(rows):
            self.queue(address + at * pitch, row)
        about = {
            "shape": values.shape,
            "typestr": values.dtype.str,
            "data": (address, False),
            "version": 3,
            "stream": STREAM,
        }
        if gap:
            strides = [values.itemsize, pitch]
            for size in values.shape[-2:0:-1]:
                strides.append(strides[-1] * size)
            about["strides"] = tuple(strides[: values.ndim][::-1])
        return InterfaceArray(about | said)


class InterfaceArray:
    """An array with `__cuda_array_interface__`, as CuPy has it."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.__cuda_array_interface__ = about


class TorchLike:
    """An array with DLPack, and an interface of version 2 that names no stream, as torch has it.

    Args:
        card: With its memory.
        values: Of it.
        said: Fields of its DLTensor.
    """

    def __init__(self, card: Card, values: np.ndarray, **said: Any) -> None:
        self._card = card
        inside = card.array(values, version=2, stream=None)
        self.__cuda_array_interface__ = inside.__cuda_array_interface__
        address = self.__cuda_array_interface__["data"][0]
        self._shape = (ctypes.c_int64 * values.ndim)(*values.shape)
        code = {"i": 0, "u": 1, "f": 2}[values.dtype.kind]
        fields = {"data": address, "device_type": 2, "ndim": values.ndim, "code": code}
        fields |= {"bits": 8 * values.itemsize, "lanes": 1, "shape": self._shape}
        self.tensor = ManagedTensor()
        for name, value in (fields | said).items():
            setattr(self.tensor, name, value)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: int) -> Any:
        if stream == 2:
            raise BufferError("per-thread default stream is not supported")
        self._card.order(STREAM, stream)
        return new_capsule(ctypes.addressof(self.tensor), TENSOR, None)
