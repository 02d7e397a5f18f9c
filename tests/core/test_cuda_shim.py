"""The shim must be as strict as a device, or its tests prove nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.core.builds import SANITIZERS, build, run_sanitized

ROOT = Path(__file__).resolve().parents[2]

TOLD = """\
barrier: 1 2 3 0
barrier, reversed: 1 2 3 0
no barrier: -nan -nan -nan 0
no barrier, reversed: 1 2 3 -nan
parted: part: unspecified launch failure: threads that were not together, or a wrong \
address (cudaErrorLaunchFailure)
grid: ok
blocks: 12
threads: count: invalid configuration argument (cudaErrorInvalidConfiguration)
rows: count: invalid configuration argument (cudaErrorInvalidConfiguration)
nothing: count: invalid configuration argument (cudaErrorInvalidConfiguration)
shared: count: too many resources requested for launch (cudaErrorLaunchOutOfResources)
blocks: 12
copy, no wait: -nan -nan -nan -nan
copy, one wait: 6 7 8 5
copy, all waits: 6 7 8 5
early copy: 6 7 8 -nan
early copy, barrier: 6 7 8 0
misaligned: copy: unspecified launch failure: threads that were not together, or a wrong \
address (cudaErrorLaunchFailure)
warp: ok
identity: yes
parted warp: square: unspecified launch failure: threads that were not together, or a wrong \
address (cudaErrorLaunchFailure)
part of a warp: square: unspecified launch failure: threads that were not together, or a wrong \
address (cudaErrorLaunchFailure)
"""


def build_probe(folder: Path, *options: str) -> Path:
    shim = ROOT / "csrc/testing/cuda_shim"
    program = folder / "probe"
    command = [
        os.environ.get("CXX", "c++"), "-std=c++17", "-Wall", "-Wextra", "-g", *options,
        f"-I{shim}", f"-I{ROOT}/csrc/core", f"-I{ROOT}/csrc/core/include",
        str(ROOT / "tests/core/shim_probe.cpp"), str(shim / "runtime.cpp"),
        str(shim / "warp_matrix.cpp"), "-o", str(program),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def test_faulty_kernels_are_seen(tmp_path):
    done = subprocess.run(
        [build_probe(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == TOLD


@pytest.mark.slow
def test_a_step_beyond_shared_memory_is_seen(tmp_path):
    probe = build_probe(tmp_path, "-fsanitize=address")
    done = subprocess.run([probe, "beyond"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "use-after-poison" in done.stderr
    assert "step_beyond" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_kernels_are_clean_under_the_sanitizers():
    # Made here, because a limit of the tests inside would count the minutes that it takes.
    build("cuda-shim-sanitized", WITH_CUDA="SHIM", CINEFLOW_SANITIZE=SANITIZERS)
    done = run_sanitized(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--capture=sys", "-m", "not slow"),
        "tests/core/test_cuda_kernels.py",
        "tests/core/test_pair_blocks_cuda.py",
        CINEFLOW_CUDA_TESTS="sanitized",
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
