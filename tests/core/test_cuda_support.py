"""What a build with CUDA says of itself, with nvcc's own list of architectures."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN = """
#include <cstdio>
#include "cineflow/cuda_support.h"
int main() { std::printf("%s", cineflow::cuda_architectures()); }
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is absent: nothing can be built")
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["-arch=sm_90"], "90"),
        (["-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_120,code=sm_120"],
         "80,120"),
    ],
    ids=["one", "two"],
)  # fmt: skip
def test_a_build_names_the_architectures_that_nvcc_compiled(
    tmp_path: Path, options: list[str], names: str
) -> None:
    """Whatever the option says: "native" is a number in nvcc's list."""
    main = tmp_path / "main.cpp"
    main.write_text(MAIN)
    program = tmp_path / "program"
    command = [
        "nvcc", "-std=c++17", *options, f"-I{ROOT}/csrc/core", f"-I{ROOT}/csrc/core/include",
        str(main), str(ROOT / "csrc/core/cuda/cuda_support.cu"), "-o", str(program),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == names
