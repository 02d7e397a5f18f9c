"""Whether an ONNX Runtime execution provider works here. The provider is tried to find out.

`onnxruntime.get_available_providers()` lists what the package was built with. A CUDA build lists
CUDA also on a machine without a card, a driver or the right CUDA libraries. Every session there
falls back to the CPU with a line on stderr.
"""

from __future__ import annotations

import ctypes
import functools
import os
import warnings
from typing import Any

import numpy as np

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"

#: Environment variable: MiB of a card's memory that one model may take.
MEMORY_VARIABLE = "CINEFLOW_GPU_MEMORY_MIB"

#: `y = Abs(x)`, both f32 [1], opset 13: the smallest model that makes a provider run a kernel.
PROBE_MODEL = (
    b'\x08\x08:4\n\r\n\x01x\x12\x01y"\x03Abs:\x00\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12'
    b"\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)

#: Library that the driver of an NVIDIA card installs. Without the driver, CUDA cannot start.
_DRIVER = "libcuda.so.1"

_SILENT, _WARNING = 4, 2  # severities of ONNX Runtime's logger; warning is its default


def provider_options(provider: str) -> dict[str, str]:
    """Options of a session: on a card, the limit of its memory that the environment asks for."""
    limit = memory_limit()
    if provider != CUDA_PROVIDER or limit is None:
        return {}
    return {
        "gpu_mem_limit": str(limit),
        "arena_extend_strategy": "kSameAsRequested",  # otherwise it takes the next power of two
    }


def memory_limit() -> int | None:
    """Bytes of a card's memory that one model may take; None where nobody has said."""
    limit = os.environ.get(MEMORY_VARIABLE, "")
    return int(limit) << 20 if limit else None


@functools.cache
def provider_fault(provider: str) -> str:
    """Why sessions do not run on `provider` here, in one sentence; empty if they do.

    The result is kept, because starting CUDA takes a second.
    """
    import onnxruntime as ort

    if provider not in ort.get_available_providers():
        return f"this onnxruntime was built without {provider}"
    ort.set_default_logger_severity(_SILENT)  # the fallback prints pages
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fault = _run_probe(ort, provider)
    finally:
        ort.set_default_logger_severity(_WARNING)
    if fault and provider == CUDA_PROVIDER and not has_driver():
        return f"no NVIDIA driver here ({_DRIVER} was not found)"
    return fault


@functools.cache
def has_driver() -> bool:
    """Whether an NVIDIA driver is installed."""
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def _run_probe(ort: Any, provider: str) -> str:
    try:
        session = ort.InferenceSession(PROBE_MODEL, providers=[provider])
        used = session.get_providers()[0]
        if used != provider:
            return f"{provider} does not start: sessions fall back to {used}"
        session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception as error:  # ORT raises pybind exceptions without a common base class
        return f"{provider} does not start: {str(error).splitlines()[0][:200]}"
    return ""
