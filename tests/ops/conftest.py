"""The fronts of fronts.py as fixtures: a test that takes `front` runs once on each."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cineflow import _C
from cineflow.runtime.engines.onnxruntime import op_library_path
from tests.core.cuda_backend import Backend, open_backend
from tests.ops.fronts import (
    INSTRUCTION_SETS,
    Front,
    cuda_front,
    numpy_front,
    onnx_front,
    torch_front,
)

FETCHER = Path(__file__).resolve().parents[2] / "csrc/bindings/onnxruntime/fetch_headers.py"
FRONTS = (*INSTRUCTION_SETS, "torch", "cuda", "onnx-kernel", "onnx-body")


@pytest.fixture(scope="session")
def cuda() -> Backend:
    """Where the CUDA kernels run: the shim, unless CINEFLOW_CUDA_TESTS says otherwise."""
    return open_backend()


@pytest.fixture(scope="session")
def library() -> Path:
    """libcineflow_ort.so: it must be built where ONNX Runtime's headers are."""
    path = op_library_path()
    if path is None:
        headers = runpy.run_path(str(FETCHER))["folder_of_headers"]()
        assert headers is None, f"headers are in {headers}, yet libcineflow_ort.so is not built"
        pytest.skip("libcineflow_ort.so is not built: no ONNX Runtime headers on this machine")
    return path


@pytest.fixture(scope="session", params=FRONTS)
def front(request: pytest.FixtureRequest) -> Front:
    """Each front in turn. A test is skipped where this machine lacks it."""
    name = request.param
    if name in INSTRUCTION_SETS:
        before = _C.instruction_set()
        available = _C.set_instruction_set(name)
        _C.set_instruction_set(before)
        if not available:
            pytest.skip(f"this machine has no {name}")
        return numpy_front(name)
    if name == "torch":
        pytest.importorskip("torch")
        return torch_front()
    if name == "cuda":
        return cuda_front(request.getfixturevalue("cuda"))
    library = request.getfixturevalue("library") if name == "onnx-kernel" else None
    return onnx_front(name, library)
