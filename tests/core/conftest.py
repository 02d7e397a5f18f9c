"""Where the CUDA kernels run in these tests."""

from __future__ import annotations

import ctypes
import importlib
import sys
from types import ModuleType

import pytest

from cineflow import _C
from tests.core.cuda_backend import Backend, open_backend
from tests.stand_ins import cupy as cupy_stand_in


@pytest.fixture(scope="session")
def cuda() -> Backend:
    """The backend that CINEFLOW_CUDA_TESTS names."""
    return open_backend()


@pytest.fixture
def shim(cuda: Backend) -> ctypes.CDLL:
    """The shim's controls. A test that needs them is skipped on a GPU."""
    if cuda.shim is None:
        pytest.skip("the controls of the shim; this run is on a GPU")
    return cuda.shim


@pytest.fixture
def cupy(cuda: Backend, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """CuPy, or its stand-in where `cineflow.ops` runs the shim's kernels."""
    if cuda.shim is None:
        return importlib.import_module("cupy")
    module = cupy_stand_in.make()
    monkeypatch.setitem(sys.modules, "cupy", module)
    for name in vars(cuda.module):
        if hasattr(_C, name) and not name.startswith("_"):
            monkeypatch.setattr(_C, name, getattr(cuda.module, name))
    return module
