"""`import cineflow` alone: it loads nothing, and reaches the ops."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cineflow

USE = """
import sys

def show():
    top = {name.split(".")[0] for name in sys.modules}
    print(*sorted(top & {"numpy", "torch", "onnx"}), *sorted(
        name for name in sys.modules if name.startswith("cineflow.")))

import cineflow
show()
assert "ops" in dir(cineflow)
warp = cineflow.ops.warp
show()
"""


def test_importing_cineflow_loads_nothing_and_the_ops_load_numpy_only() -> None:
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()
    assert before == ""
    assert after.startswith("numpy cineflow._C")
    assert "cineflow.ops.warp" in after
    assert "cineflow.runtime" not in after


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opps'"):
        _ = cineflow.opps
