"""How much memory a model takes: a process of its own opens it, runs it, and says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

_RUN = """
import sys
import numpy as np
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine

def peak():
    # Of this program alone: getrusage would begin with the peak of the one that started it.
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1])

bundle, inputs, threads = Bundle.load(sys.argv[1]), dict(np.load(sys.argv[2])), int(sys.argv[3])
import onnxruntime
before = peak()
engine = OnnxRuntimeEngine(bundle, threads)
for _ in range(3):
    engine.run(inputs)
print(peak() - before)
"""


def peak_mb(bundle: Path, inputs: dict[str, np.ndarray], threads: int, folder: Path) -> float:
    """Peak memory of ONNX Runtime with our op library for one model, MB, above an empty process.

    Args:
        bundle: The model's.
        inputs: Of one run, by name.
        threads: Of the runtime.
        folder: For a file of the inputs.
    """
    file = folder / "inputs.npz"
    np.savez(file, **inputs)  # type: ignore[arg-type]  # its stubs know no keywords
    command = [sys.executable, "-c", _RUN, str(bundle), str(file), str(threads)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(found.stdout) / 1e3
