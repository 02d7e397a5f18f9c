"""Runs a `Call` on the CUDA kernels, through `_C`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.core.cuda_backend import Backend, DeviceArray, to_bfloat16
from tests.op_calls import Call
from tests.op_calls._values import laid_out


def run_kernel(cuda: Backend, call: Call, stream: int = 0) -> np.ndarray:
    """The kernel's result; bfloat16 as float32."""
    inputs = {
        name: on_device(cuda, values, call.storage_of(name), call.layout_of(name))
        for name, values in call.inputs.items()
    }
    # Where the caller gives no layout, that of the first input, as the ops allocate it.
    layout = call.layout_of("out" if "out" in call.layouts else next(iter(inputs)))
    out = cuda.empty(call.shape, call.result, layout)
    launch(cuda, call, **inputs, out=out, stream=stream)
    return cuda.get(out)


def launch(cuda: Backend, call: Call, **arguments: Any) -> None:
    """Call the function of `_C` on tensors, with the options of `call`."""
    if call.op.workspace is not None:
        arguments["workspace"] = cuda.empty((call.op.workspace(call.shape),), "float32", "planar")
    getattr(cuda.module, call.op.function)(**arguments, **call.op.kernel(call.options))


def on_device(cuda: Backend, values: np.ndarray, storage: str, layout: str) -> DeviceArray:
    """`values` on the device, in a storage type and layout."""
    if layout not in ("broadcast", "stretched"):
        return cuda.put(values, storage, layout)
    # A copy would not keep these strides.
    half = storage == "bfloat16"
    stored = to_bfloat16(values) if half else values.astype(storage)
    return DeviceArray(laid_out(stored, layout), half)
