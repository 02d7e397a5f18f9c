"""A pytest plugin (`-p tests.core.other_build`): runs cineflow with the kernels of another build.

CINEFLOW_BUILD names the folder of the build's bindings. Its `_C` and libcineflow_ort.so
replace the installed ones before cineflow is imported.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path


def take(bindings: Path) -> None:
    """Import the module as cineflow._C, with the op library next to it."""
    (module,) = (bindings / "python").glob("_C*.so")
    library = bindings / "onnxruntime/libcineflow_ort.so"
    if library.exists():
        shutil.copy2(library, module.parent)
    spec = importlib.util.spec_from_file_location("cineflow._C", module)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["cineflow._C"] = loaded
    spec.loader.exec_module(loaded)


take(Path(os.environ["CINEFLOW_BUILD"]))
