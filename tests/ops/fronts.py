"""Every way to run an op: one small adapter each, from a `Call` to a NumPy array.

`cineflow.ops` on NumPy arrays (each instruction set of the CPU) and on torch tensors, the CUDA
kernels (under the host shim, or on a GPU; see tests/core/cuda_backend.py), and ONNX Runtime,
with our library (the kernels) or without it (the function bodies in the graph).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort

from cineflow import _C, ops
from cineflow.export.ops import attach_bodies
from tests.core.cuda_backend import Backend, to_bfloat16
from tests.core.kernel_calls import run_kernel
from tests.op_calls import Call
from tests.op_calls._values import IMAGES, laid_out

INSTRUCTION_SETS = ("avx512", "avx2", "baseline")
OUTPUTS = ("planar", "channels_last", "transposed", "reversed", "gapped")
LAYOUTS = (*OUTPUTS, "broadcast")


@dataclass(frozen=True)
class Front:
    """One way to run every op.

    Attributes:
        name: For the test's id.
        run: `run(call, threads=1)` returns the result of a call.
        storages: Storage types that it has arrays for.
        layouts: Memory layouts that reach the kernel without a copy.
        outputs: Layouts of a result that the caller gives.
        coordinates: Error of coordinates that it adds to the kernels' own, pixels.
        takes_empty_images: Whether images without pixels have a result; otherwise it may raise.
    """

    name: str
    run: Callable[..., np.ndarray]
    storages: tuple[str, ...] = IMAGES
    layouts: tuple[str, ...] = LAYOUTS
    outputs: tuple[str, ...] = OUTPUTS
    coordinates: float = 0.0
    takes_empty_images: bool = True


def numpy_front(instruction_set: str) -> Front:
    """`cineflow.ops` on NumPy arrays; their bfloat16 is that of ml_dtypes."""

    def array(bits: np.ndarray, storage: str) -> np.ndarray:
        return bits.view(ml_dtypes.bfloat16) if storage == "bfloat16" else bits

    def run(call: Call, threads: int = 1) -> np.ndarray:
        with using(instruction_set, threads):
            result: np.ndarray = public(call, array)
        if call.result == "bfloat16":
            assert result.dtype == ml_dtypes.bfloat16
            result = result.astype(np.float32)
        return result

    return Front(instruction_set, run)


def torch_front() -> Front:
    """`cineflow.ops` on torch tensors, that is `torch.ops.cineflow.*`."""
    import torch

    def tensor(bits: np.ndarray, storage: str) -> torch.Tensor:
        if any(stride < 0 for stride in bits.strides) or not bits.flags.writeable:
            bits = bits.copy()  # torch has neither negative strides nor read-only tensors
        shared = torch.from_numpy(bits)
        return shared.view(torch.bfloat16) if storage == "bfloat16" else shared

    def run(call: Call, threads: int = 1) -> np.ndarray:
        with using(_C.instruction_set(), threads):
            result = public(call, tensor)
        if call.result == "bfloat16":
            assert result.dtype == torch.bfloat16
            result = result.float()
        return np.asarray(result.numpy())

    return Front("torch", run)


def cuda_front(cuda: Backend) -> Front:
    """The CUDA kernels through `_C`. The shim runs one thread after another, whatever `threads`."""

    def run(call: Call, threads: int = 1) -> np.ndarray:
        return run_kernel(cuda, call)

    return Front("cuda", run)


def onnx_front(name: str, library: Path | None) -> Front:
    """ONNX Runtime; without `library`, the function bodies, which sample normalised coordinates."""

    def run(call: Call, threads: int = 1) -> np.ndarray:
        session = open_session(graph(call), library, threads)
        (result,) = session.run(None, feeds(call))
        return np.asarray(result)

    planar: dict[str, Any] = {"layouts": ("planar",), "outputs": ()}
    if library is None:
        return Front(name, run, **planar, coordinates=1e-5, takes_empty_images=False)
    return Front(name, run, **planar)


@contextlib.contextmanager
def using(instruction_set: str, threads: int) -> Iterator[None]:
    """Set the CPU kernels' instruction set and number of threads, and restore both."""
    before = _C.instruction_set(), _C.thread_count()
    assert _C.set_instruction_set(instruction_set)
    _C.set_thread_count(threads)
    try:
        yield
    finally:
        _C.set_instruction_set(before[0])
        _C.set_thread_count(before[1])


def stored(values: np.ndarray, storage: str, layout: str) -> np.ndarray:
    """Values in a storage type and layout; bfloat16 as the bits of int16."""
    if storage == "bfloat16":
        return laid_out(to_bfloat16(values).view(np.int16), layout)
    return laid_out(values.astype(storage), layout)


def public(call: Call, array: Callable[[np.ndarray, str], Any]) -> Any:
    """Call the function of `cineflow.ops` on arrays that `array` makes of NumPy's bits."""
    function = getattr(ops, call.op.name)
    arguments = call.words | {
        name: array(
            stored(values, call.storage_of(name), call.layout_of(name)), call.storage_of(name)
        )
        for name, values in call.inputs.items()
    }
    if "out" not in call.layouts:
        return function(**arguments)
    canvas = stored(np.full(call.shape, 3, np.float32), call.result, call.layout_of("out"))
    given = array(canvas, call.result)
    with only_written(canvas):
        assert function(**arguments, out=given) is given
    return given


@contextlib.contextmanager
def only_written(canvas: np.ndarray) -> Iterator[None]:
    """Assert that only `canvas` changes in the memory that it is a view of."""
    memory = canvas
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    before, blank = memory.copy(), canvas.copy()
    yield
    result = canvas.copy()
    canvas[...] = blank
    np.testing.assert_array_equal(memory, before)
    canvas[...] = result


_ONNX_TYPES = {"float32": "float", "float16": "float16", "bfloat16": "bfloat16", "uint8": "uint8"}


def graph(call: Call) -> str:
    """The call as an ONNX graph with open sizes: one node, and casts where it takes bfloat16."""
    formal, names, casts = [], [], []
    for name in call.inputs:
        axes = ", ".join(f"{name}_{axis}" for axis in range(call.inputs[name].ndim))
        kind = call.storage_of(name)
        if kind == "bfloat16":
            casts.append(f"{name}_stored = Cast <to: int = 16> ({name})")
            names.append(f"{name}_stored")
            kind = "float32"
        else:
            names.append(name)
        formal.append(f"{_ONNX_TYPES[kind]}[{axes}] {name}")
    node = f"cineflow.{call.op.node} {attributes(call)} ({', '.join(names)})"
    result = call.result
    if result == "bfloat16":
        node, result = f"{node}\n  out = Cast <to: int = 1> (stored)", "float32"
        lines = [*casts, f"stored = {node}"]
    else:
        lines = [*casts, f"out = {node}"]
    body = "\n  ".join(lines)
    sides = "d, h, w" if call.op.dimensions == 3 else "h, w"
    return f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main ({", ".join(formal)}) => ({_ONNX_TYPES[result]}[n, c, {sides}] out) {{
  {body}
}}
"""


def attributes(call: Call) -> str:
    """The options as attributes in ONNX's text form; "" without any."""
    words = []
    for name, value in call.options.items():
        if isinstance(value, str):
            words.append(f'{name}: string = "{value}"')
        elif isinstance(value, float):
            words.append(f"{name}: float = {value!r}")
        else:
            words.append(f"{name}: int = {int(value)}")
    return f"<{', '.join(words)}>" if words else ""


def feeds(call: Call) -> dict[str, np.ndarray]:
    """The inputs for a session of `graph(call)`."""
    kinds = {name: call.storage_of(name) for name in call.inputs}
    return {
        name: np.ascontiguousarray(
            values.astype("float32" if kinds[name] == "bfloat16" else kinds[name])
        )
        for name, values in call.inputs.items()
    }


def open_session(text: str, library: Path | None, threads: int = 1) -> ort.InferenceSession:
    """A session on ONNX's text form; `library` None runs the bodies."""
    model = onnx.parser.parse_model(text)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # some tests expect an error; its log would be noise
    options.intra_op_num_threads = threads
    if library is None:
        attach_bodies(model)
    else:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(model.SerializeToString(), options)
