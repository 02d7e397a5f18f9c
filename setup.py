"""Build cineflow: CMake makes the kernels, setuptools carries them into the wheel.

Metadata is in pyproject.toml. This file adds what it cannot express: the folders that become one
import name, and the call of CMake.

Environment:
    CINEFLOW_CUDA_ARCHS: "release" (every supported GPU generation), "ci" (sm_80 and PTX), "native"
        (this machine's GPU) or a CMake list such as "90-real"; read where nvcc is found. The
        default is "native" if there is a GPU, otherwise "ci".
    CINEFLOW_WITH_CUDA: "OFF" to build without CUDA kernels even if nvcc is installed.
    CINEFLOW_WITH_ORT: "OFF" to build without libcineflow_ort.so, "ON" to fail without its headers.
    CINEFLOW_ORT_INCLUDE: Folder of onnxruntime_c_api.h, where it is not one that
        csrc/bindings/onnxruntime/fetch_headers.py knows.
    CMAKE_BUILD_PARALLEL_LEVEL: Number of compile jobs; defaults to all processors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
#: Libraries next to `_C`: the ops for ONNX Runtime (where its headers are), and the launcher's.
LIBRARIES = ("libcineflow_ort.so", "libcineflow_arguments.so")


def find_tool(name: str) -> str:
    """Path of `name`: next to this interpreter (a venv need not be active), else on PATH."""
    neighbour = Path(sys.executable).parent / name
    found = str(neighbour) if neighbour.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"cineflow: {name} is missing; `pip install {name}` brings it")
    return found


def default_archs() -> str:
    """Default architectures: this machine's GPU, otherwise sm_80 with PTX."""
    smi = shutil.which("nvidia-smi")
    here = smi and subprocess.run([smi, "-L"], capture_output=True, check=False).returncode == 0
    return "native" if here and os.environ.get("CI") is None else "ci"


class CMakeBuild(build_ext):
    """Configures and builds csrc/, which puts `_C` where setuptools wants the extension, and the
    libraries next to it."""

    def build_extension(self, ext: Extension) -> None:
        target = (ROOT / self.get_ext_fullpath(ext.name)).resolve()
        # A fixed folder, so that a second build compiles only what changed.
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        build.mkdir(parents=True, exist_ok=True)
        cmake = find_tool("cmake")
        options = {
            "CMAKE_MAKE_PROGRAM": find_tool("ninja"),
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "CINEFLOW_CUDA_ARCHS": os.environ.get("CINEFLOW_CUDA_ARCHS") or default_archs(),
            "WITH_CUDA": os.environ.get("CINEFLOW_WITH_CUDA", "AUTO"),
            "WITH_ORT": os.environ.get("CINEFLOW_WITH_ORT", "AUTO"),
        }
        if "CINEFLOW_ORT_INCLUDE" in os.environ:
            options["CINEFLOW_ORT_INCLUDE"] = os.environ["CINEFLOW_ORT_INCLUDE"]
        defines = [f"-D{key}={value}" for key, value in options.items()]
        subprocess.run(
            [cmake, "-S", str(ROOT / "csrc"), "-B", str(build), "-G", "Ninja", *defines], check=True
        )
        subprocess.run([cmake, "--build", str(build)], check=True)
        for name in LIBRARIES:  # a stale one of an earlier build
            (target.parent / name).unlink(missing_ok=True)
        subprocess.run([cmake, "--install", str(build), "--prefix", str(target.parent)], check=True)

    def copy_extensions_to_source(self) -> None:
        """An editable install builds elsewhere and copies extensions only: take these too."""
        super().copy_extensions_to_source()
        (ext,) = self.extensions
        for name in LIBRARIES:
            built = Path(self.build_lib, *ext.name.split(".")).with_name(name)
            target = ROOT / "src" / "cineflow" / name
            target.unlink(missing_ok=True)
            if built.exists():
                shutil.copy2(built, target)


setup(
    package_dir={"": "src", "cineflow.export": "export"},
    packages=[
        *find_packages("src"),
        "cineflow.export",
        *(f"cineflow.export.{name}" for name in find_packages("export")),
    ],
    package_data={
        "cineflow": ["py.typed", "_C.pyi", "bundles/**/*"],
        "cineflow.report": ["**/*.j2", "**/*.css", "**/*.js"],
        "cineflow.export.verify": ["templates/*.j2"],
    },
    ext_modules=[Extension("cineflow._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
