"""What a failure on a card means: too little memory, a card that is lost, or a fault of the model.

ONNX Runtime writes CUDA's number into its message, and CuPy's errors carry it as `status`. The
driver's and the runtime's interface share the numbers.
"""

from __future__ import annotations

import re

from cineflow.errors import DeviceLostError, DeviceMemoryError, EngineError

_MEMORY = 2  # cudaErrorMemoryAllocation
#: CUDA's errors after which each further call of the process fails as well: no device, a context
#: that is gone, an uncorrectable fault of memory or link, a kernel that broke off, "unknown" (what
#: a card says that fell off the bus).
_LOST = frozenset({100, 101, 201, 214, 220, 221, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719,
                   721, 999})  # fmt: skip
_NUMBER = re.compile(r"CUDA(?: driver)? failure (\d+)|CUDA error (\d+)")
#: Words of ONNX Runtime's arena, and of cuBLAS and cuDNN.
_NO_ROOM = re.compile(
    r"Failed to allocate memory|Available memory of \d+ is smaller|ALLOC_FAILED|out of memory"
)


def fault_of(error: BaseException) -> type[EngineError]:
    """The type of error that a failure of a runtime is."""
    if isinstance(error, EngineError):
        return type(error)
    number = getattr(error, "status", None)
    if number is None and (found := _NUMBER.search(str(error))):
        number = int(found[1] or found[2])
    if number in _LOST:
        return DeviceLostError
    # CuPy's OutOfMemoryError is a MemoryError.
    if number == _MEMORY or isinstance(error, MemoryError) or _NO_ROOM.search(str(error)):
        return DeviceMemoryError
    return EngineError
