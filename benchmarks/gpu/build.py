"""Builds the kernels for this machine's GPU in build/gpu. Installs nothing."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from benchmarks.gpu.steps import BUILD, ROOT, SITE, libraries, run, tail, tool


def build(architectures: str, limit_s: float) -> tuple[str, dict[str, str]]:
    """Configures and compiles. `architectures` is a CMake list, such as "native" or "90-real"."""
    libraries("pybind11")
    import pybind11

    end = time.monotonic() + limit_s

    tree = BUILD / "cmake"
    options = {
        "CMAKE_MAKE_PROGRAM": tool("ninja"),
        "CMAKE_CUDA_COMPILER": tool("nvcc"),
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
        "WITH_CUDA": "ON",
        "WITH_ORT": "OFF",
        "WITH_TEMPLATE": "ON",  # the tests run it also
        "CINEFLOW_CUDA_ARCHS": architectures,
    }
    defines = [f"-D{key}={value}" for key, value in options.items()]
    cmake = tool("cmake")
    run(
        [cmake, "-S", str(ROOT / "csrc"), "-B", str(tree), "-G", "Ninja", *defines],
        end - time.monotonic(),
    )
    output = run([cmake, "--build", str(tree)], end - time.monotonic())
    package = link_package()
    run([cmake, "--install", str(tree), "--prefix", str(package)], end - time.monotonic())
    return tail(output, 200), {"architectures": architectures}


def link_package() -> Path:
    """Fills SITE with links to the sources and the metadata that gives the version."""
    package = SITE / "cineflow"
    package.mkdir(parents=True, exist_ok=True)
    sources = [path for path in (ROOT / "src/cineflow").iterdir() if path.suffix != ".so"]
    for source in [*sources, ROOT / "export"]:
        link = package / source.name
        link.unlink(missing_ok=True)
        link.symlink_to(source)
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None, "pyproject.toml states no version"
    metadata = SITE / f"cineflow-{version[1]}.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: cineflow\nVersion: {version[1]}\n"
    )
    return package
