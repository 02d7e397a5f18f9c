"""The table of ops must run on a machine with a GPU, which may lack Hypothesis, torch and ONNX."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import sys
import tests.core.test_cuda_kernels, tests.core.test_cupy_front
print(*sorted(set(sys.modules) & {"hypothesis", "ml_dtypes", "onnx", "onnxruntime", "torch"}))
"""


def test_the_gpu_tests_need_numpy_and_pytest_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
