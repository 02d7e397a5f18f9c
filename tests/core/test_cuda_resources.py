"""What nvcc reports of each kernel: registers, spills and local memory."""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)  # nvcc compiles every kernel first

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "csrc").glob("**/core/cuda/*.cu"))
#: The oldest generation that the kernels are written for.
ARCHITECTURE = "sm_80"

REPORT = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads\n.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)
DEFINITION = re.compile(r"__global__ void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\(")


@dataclass(frozen=True)
class Kernel:
    """One instantiation: bytes of local memory and of spills, and registers."""

    name: str
    stack: int
    spills: int
    registers: int


def kernels_in(report: str) -> list[Kernel]:
    return [
        Kernel(
            found["name"],
            int(found["stack"]),
            int(found["stores"]) + int(found["loads"]),
            int(found["registers"]),
        )
        for found in REPORT.finditer(report)
    ]


def compile_one(nvcc: str, source: Path, folder: Path) -> str:
    command = [
        nvcc, "-std=c++17", "-O3", f"-arch={ARCHITECTURE}", "-Xptxas", "-v", "-cubin",
        f"-I{ROOT}/csrc/core", f"-I{ROOT}/csrc/core/include",
        f"-I{ROOT}/csrc/template/core/include",
        str(source), "-o", str(folder / source.stem),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> list[Kernel]:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is absent: only it knows what a kernel needs on a device")
    folder = tmp_path_factory.mktemp("cubins")
    with ThreadPoolExecutor(2) as pool:
        reports = pool.map(lambda source: compile_one(nvcc, source, folder), SOURCES)
    return [kernel for report in reports for kernel in kernels_in(report)]


def test_the_report_is_read() -> None:
    # As ptxas 13.0 prints it.
    report = """\
ptxas info    : Compiling entry function '_Z1kPf' for 'sm_80'
ptxas info    : Function properties for _Z1kPf
    40 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 40 bytes cumulative stack size
"""
    assert kernels_in(report) == [Kernel("_Z1kPf", 40, 24, 255)]


@pytest.mark.slow
def test_every_kernel_is_in_the_report(kernels: list[Kernel]) -> None:
    defined = {name for source in SOURCES for name in DEFINITION.findall(source.read_text())}
    assert defined
    missing = [name for name in defined if not any(name in kernel.name for kernel in kernels)]
    assert not missing


@pytest.mark.slow
def test_no_kernel_spills_or_uses_local_memory(kernels: list[Kernel]) -> None:
    assert kernels
    assert [kernel for kernel in kernels if kernel.spills or kernel.stack] == []
