"""Runs the CUDA kernels in these tests: on the CPU under the shim, or on a real GPU.

The environment variable CINEFLOW_CUDA_TESTS chooses: "shim" (the default; CMake builds it first),
"sanitized" (the shim under AddressSanitizer and UndefinedBehaviorSanitizer; libasan must be
preloaded), or "gpu" (the installed cineflow._C and CuPy).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from tests.core.builds import SANITIZERS, build, shim
from tests.stand_ins.dlpack import DL_BFLOAT, DL_CUDA, tensor_in


class DeviceArray:
    """An array of a backend that claims through DLPack to be on a CUDA device.

    Args:
        array: NumPy (shim) or CuPy array. The bits of bfloat16 are stored as float16.
        bfloat16: Whether it holds bfloat16.
        device: Index of the device.
    """

    def __init__(self, array: Any, bfloat16: bool = False, device: int = 0) -> None:
        self.array = array
        self.bfloat16 = bfloat16
        self.device_index = device

    def __dlpack_device__(self) -> tuple[int, int]:
        return DL_CUDA, self.device_index

    def __dlpack__(self, stream: int | None = None) -> object:
        assert stream == -1, "the binding must not ask the producer to synchronise"
        options = {} if isinstance(self.array, np.ndarray) else {"stream": -1}
        capsule = self.array.__dlpack__(**options)
        tensor = tensor_in(capsule)
        tensor.device_type, tensor.device_id = self.__dlpack_device__()
        if self.bfloat16:
            tensor.code = DL_BFLOAT
        return capsule


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Bits of the nearest bfloat16 (ties to even), in an array whose dtype is float16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16).view(np.float16)


def from_bfloat16(array: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16
    return bits.view(np.float32)


def _strided(library: Any, shape: tuple[int, ...], dtype: Any, layout: str) -> Any:
    """An array with the memory layout `layout`, filled with 3."""
    if layout == "channels_last" and len(shape) >= 4:
        n, c, *sides = shape
        return library.moveaxis(library.full((n, *sides, c), 3, dtype), -1, 1)
    if layout == "transposed":
        swapped = (*shape[:-2], shape[-1], shape[-2])
        return library.full(swapped, 3, dtype).swapaxes(-1, -2)
    if layout == "gapped":
        wide = (*shape[:-1], 2 * shape[-1] + 1)
        return library.full(wide, 3, dtype)[..., 1::2]
    if layout == "reversed":
        return library.full(shape, 3, dtype)[..., ::-1, ::-1]
    return library.full(shape, 3, dtype)


class Backend:
    """Runs `_C` on device arrays.

    Attributes:
        module: cineflow._C of the build under test.
        shim: Controls of the shim; None on a GPU.
        op_library: libcineflow_ort.so of the same build; None if the build has none.
    """

    def __init__(
        self,
        module: Any,
        library: Any,
        shim: ctypes.CDLL | None,
        op_library: Path | None = None,
    ) -> None:
        self.module = module
        self.shim = shim
        self.op_library = op_library
        self._library = library

    def put(self, values: np.ndarray, dtype: str, layout: str = "planar") -> DeviceArray:
        """Copies `values` to the device, as storage type `dtype`."""
        bfloat16 = dtype == "bfloat16"
        stored = to_bfloat16(values) if bfloat16 else values.astype(dtype)
        array = _strided(self._library, values.shape, stored.dtype, layout)
        array[...] = self._library.asarray(stored)
        return DeviceArray(array, bfloat16)

    def empty(self, shape: tuple[int, ...], dtype: str, layout: str = "planar") -> DeviceArray:
        stored = "float16" if dtype == "bfloat16" else dtype
        return DeviceArray(_strided(self._library, shape, stored, layout), dtype == "bfloat16")

    def get(self, array: DeviceArray) -> np.ndarray:
        """Copies an array to the CPU after the kernels have finished; bfloat16 becomes float32."""
        values = array.array
        if not isinstance(values, np.ndarray):
            values = self._library.asnumpy(values)
        return from_bfloat16(values) if array.bfloat16 else values


def open_backend() -> Backend:
    """The backend that CINEFLOW_CUDA_TESTS names."""
    where = os.environ.get("CINEFLOW_CUDA_TESTS", "shim")
    if where == "gpu":
        import cupy

        from cineflow import _C

        cupy.cuda.set_allocator(None)  # a pool would hide accesses after the end of an array
        return Backend(_C, cupy, None)
    if where == "shim":
        built = shim()
    else:
        assert where == "sanitized", where
        built = build("cuda-shim-sanitized", WITH_CUDA="SHIM", CINEFLOW_SANITIZE=SANITIZERS)
    library = next((built / "python").glob("_C*.so"))
    # The name must be `_C`, because the module's entry point is named after it.
    spec = importlib.util.spec_from_file_location("_C", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = ctypes.CDLL(str(library))
    loaded.cuda_shim_launches.restype = ctypes.c_int64
    loaded.cuda_shim_stream.restype = ctypes.c_size_t
    loaded.cuda_shim_has_context.restype = ctypes.c_bool
    loaded.cuda_shim_only_row.argtypes = [ctypes.c_int64]
    op_library = built / "onnxruntime" / "libcineflow_ort.so"
    return Backend(module, np, loaded, op_library if op_library.exists() else None)
