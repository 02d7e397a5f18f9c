"""The ways to run an op on the CPU: every instruction set of this machine, and torch.

tests/core runs the CUDA kernels, tests/ops/test_onnxruntime.py the ONNX Runtime library.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow import _C, ops
from cineflow.runtime.engines.onnxruntime import op_library_path

FETCHER = Path(__file__).resolve().parents[2] / "csrc/bindings/onnxruntime/fetch_headers.py"
BACKENDS = ("avx512", "avx2", "baseline", "torch")

#: Calls an op of `cineflow.ops` by name with NumPy arrays; answers a NumPy array.
Backend = Callable[..., np.ndarray]


def as_torch(value: Any) -> Any:
    """A torch tensor that shares a NumPy array's memory; torch has no negative strides."""
    import torch

    if not isinstance(value, np.ndarray):
        return value
    if any(stride < 0 for stride in value.strides) or not value.flags.writeable:
        value = value.copy()
    return torch.from_numpy(value)


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each way to run an op, in turn."""
    if request.param == "torch":
        pytest.importorskip("torch")

        def through_torch(name: str, *arrays: Any, **options: Any) -> np.ndarray:
            return getattr(ops, name)(*map(as_torch, arrays), **options).numpy()

        yield through_torch
    else:
        before = _C.instruction_set()
        if not _C.set_instruction_set(request.param):
            pytest.skip(f"this machine has no {request.param}")
        yield lambda name, *arrays, **options: getattr(ops, name)(*arrays, **options)
        _C.set_instruction_set(before)


@pytest.fixture(scope="session")
def library() -> Path:
    """libcineflow_ort.so: where ONNX Runtime's headers are, it must be built, too."""
    path = op_library_path()
    if path is None:
        headers = runpy.run_path(str(FETCHER))["folder_of_headers"]()
        assert headers is None, f"headers are in {headers}, yet libcineflow_ort.so is not built"
        pytest.skip("libcineflow_ort.so is not built: no ONNX Runtime headers on this machine")
    return path
