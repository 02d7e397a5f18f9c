"""The CPU kernels, the checks and both bindings under AddressSanitizer and UBSan.

The tests of the ops run again on a sanitized build: every instruction set of this machine, torch,
and ONNX Runtime with the op library. (The CUDA kernels: test_cuda_shim.py.)
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.builds import SANITIZERS, asan_options, build, run_sanitized

#: Prints the error of a launch; only a build without CUDA and with the template gives this one.
STUB = """
import numpy as np
import tests.core.other_build
from cineflow import _C
from cineflow.errors import EngineError
from tests.core.cuda_backend import DeviceArray
try:
    _C.identity(*(DeviceArray(np.zeros((1, 1, 2, 2), np.float32)) for _ in range(2)))
except EngineError as error:
    print(error.got)
"""


@pytest.fixture(scope="module")
def bindings() -> Path:
    return build("cpu-sanitized", WITH_CUDA="OFF", CINEFLOW_SANITIZE=SANITIZERS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_ops_are_clean_under_the_sanitizers(bindings: Path) -> None:
    done = run_sanitized(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.core.other_build"),
        *("--capture=sys", "-m", "not slow", "-k", "not cuda and not body"),
        *("tests/ops", "tests/core/test_refusals.py"),
        CINEFLOW_BUILD=str(bindings),
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_stack_frame_is_used_after_its_return(bindings: Path) -> None:
    """With AVX2 and below, see `asan_options`."""
    done = run_sanitized(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.core.other_build"),
        *("--capture=sys", "-m", "not slow", "-k", "not cuda and not body and not avx512"),
        "tests/ops",
        CINEFLOW_BUILD=str(bindings),
        CINEFLOW_ISA="avx2",  # of the fronts that do not name one
        ASAN_OPTIONS=asan_options(use_after_return=True),
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_sanitized_build_ran_and_has_no_cuda_launchers(bindings: Path) -> None:
    done = run_sanitized("-c", STUB, CINEFLOW_BUILD=str(bindings))
    assert done.stdout == "one built where nvcc was not found\n", done.stdout + done.stderr
