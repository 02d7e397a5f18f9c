"""Builds of csrc/ for tests, each in its own folder under build/."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SANITIZERS = "address,undefined"


def build(name: str, **options: str) -> Path:
    """Compile what is out of date in build/`name`; return the folder of the bindings.

    Args:
        name: The folder.
        options: Of CMake, added to those of every test build: the template op, the op library
            where its headers are, and little optimisation.
    """
    import pybind11

    folder = ROOT / "build" / name
    options = {
        "WITH_ORT": "AUTO",
        "WITH_TEMPLATE": "ON",
        "CMAKE_BUILD_TYPE": "None",
        "CMAKE_CXX_FLAGS": "-O1",
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
        **options,
    }
    defines = [f"-D{key}={value}" for key, value in options.items()]
    # The compiler must not run under a preloaded libasan.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # the tests run in two processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "-S", str(ROOT / "csrc"), "-B", str(folder), "-G", "Ninja", *defines],
            ["cmake", "--build", str(folder)],
        ):
            done = subprocess.run(
                command,
                env={**environment, "PATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bindings"


def shim() -> Path:
    """The CUDA kernels under the host shim. `make test` builds it before a test's clock runs."""
    return build("cuda-shim", WITH_CUDA="SHIM")


def asan_options(*, use_after_return: bool = False) -> str:
    """Options of AddressSanitizer. Python keeps memory until it exits, so leaks are not looked for.

    Args:
        use_after_return: Look for uses of a stack frame after its return. This puts frames where
            GCC 12 does not align vectors of 64 bytes: AVX-512 kernels crash in correct code.
    """
    return f"detect_leaks=0:detect_stack_use_after_return={int(use_after_return)}"


def run_sanitized(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Python with the sanitizers' runtime, which must be loaded first."""
    variables = {
        **os.environ,
        # With libstdc++, so that it finds the function that throws.
        "LD_PRELOAD": " ".join(_library(name) for name in ("libasan.so", "libstdc++.so")),
        "ASAN_OPTIONS": asan_options(),
        "UBSAN_OPTIONS": "print_stacktrace=1",
        **environment,
    }
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _library(name: str) -> str:
    command = [os.environ.get("CXX", "c++"), f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    shim()
