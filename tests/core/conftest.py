"""Where the CUDA kernels run in these tests."""

from __future__ import annotations

import ctypes

import pytest

from tests.core.cuda_backend import Backend, open_backend


@pytest.fixture(scope="session")
def cuda() -> Backend:
    """The backend that CINEFLOW_CUDA_TESTS names."""
    return open_backend()


@pytest.fixture
def shim(cuda: Backend) -> ctypes.CDLL:
    """The shim's controls; a test that needs them has no meaning on a GPU."""
    if cuda.shim is None:
        pytest.skip("the controls of the shim; this run is on a GPU")
    return cuda.shim
