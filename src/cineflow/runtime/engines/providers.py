"""Whether an ONNX Runtime execution provider works here, found out by using it.

`onnxruntime.get_available_providers()` names what the package was built with. A CUDA build on a
machine without a card, a driver or the right CUDA libraries names CUDA too, and every session then
falls back to the CPU with a line on stderr.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from typing import Any

import numpy as np

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"

#: `y = Abs(x)`, both f32 [1], opset 13: the smallest model that makes a provider run a kernel.
PROBE_MODEL = (
    b'\x08\x08:4\n\r\n\x01x\x12\x01y"\x03Abs:\x00\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12'
    b"\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)

#: What the driver of an NVIDIA card installs; without it there is nothing to install on top.
_DRIVER = "libcuda.so.1"

_SILENT, _WARNING = 4, 2  # severities of ONNX Runtime's logger; the second is its default


@functools.cache
def provider_fault(provider: str) -> str:
    """Why sessions do not run on `provider` here, in one sentence; empty where they do.

    The answer is kept: starting CUDA takes a second, and it does not come and go.
    """
    import onnxruntime as ort

    if provider not in ort.get_available_providers():
        return f"this onnxruntime was built without {provider}"
    ort.set_default_logger_severity(_SILENT)  # the fall-back prints pages
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fault = _run_probe(ort, provider)
    finally:
        ort.set_default_logger_severity(_WARNING)
    if fault and provider == CUDA_PROVIDER and not has_driver():
        return f"no NVIDIA driver here ({_DRIVER} is not found)"
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
    except Exception as error:  # ORT raises a family of pybind exceptions with no shared root
        return f"{provider} does not start: {str(error).splitlines()[0][:200]}"
    return ""
