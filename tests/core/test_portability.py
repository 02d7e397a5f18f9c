"""The core compiles clean and computes right with other compilers and on other processors.

tests/core/self_check.cpp compares every op with plain loops, in each instruction set.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.core.builds import ROOT, build
from tests.emulator import emulator_of


@dataclass(frozen=True)
class Target:
    """A compiler, and how to run its programs on this machine.

    Attributes:
        name: Of the build folder.
        compiler: The C++ compiler.
        processor: CMake's and QEMU's name of the processor, if it is not this machine's.
        isas: Instruction sets that the build must have.
    """

    name: str
    compiler: str
    processor: str = ""
    isas: set[str] = field(default_factory=lambda: {"baseline"})


TARGETS = (
    Target("gcc", "g++"),
    Target("clang", "clang++"),
    Target("aarch64", "aarch64-linux-gnu-g++", "aarch64"),
)


def compile_self_check(target: Target, folder: Path) -> Path:
    options = {"CMAKE_CXX_COMPILER": target.compiler, "CMAKE_CXX_FLAGS": "-O2 -Werror"}
    if target.processor:
        options |= {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": target.processor}
    off = dict.fromkeys(("WITH_CUDA", "WITH_ORT", "WITH_PYTHON"), "OFF")
    core = build(f"core-{target.name}", **off, **options).parent / "libcineflow_core.a"
    program = folder / "self_check"
    command = [
        target.compiler, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread",
        f"-I{ROOT}/csrc/core/include", str(ROOT / "tests/core/self_check.cpp"), str(core),
        "-o", str(program),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_core_compiles_clean_and_computes_right(target: Target, tmp_path: Path) -> None:
    if shutil.which(target.compiler) is None:
        pytest.skip(f"{target.compiler} is not installed")
    command = [str(compile_self_check(target, tmp_path))]
    if target.processor:
        emulator = emulator_of(target.processor)
        if emulator is None:
            pytest.skip("it was compiled; qemu-user is not installed to run it")
        command.insert(0, emulator)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    # Six ops, four of them also on volumes, two borders, for each instruction set that runs here.
    assert len(lines) % 20 == 0, done.stdout
    assert target.isas <= {line.split()[1] for line in lines}
