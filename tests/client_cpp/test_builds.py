"""The builds of `make` and of the tests go on in a folder of any generator."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.client_cpp import builds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def libraries() -> None:
    if lacking := builds.missing():
        pytest.skip(f"the C++ client is not built: {lacking}")


def configured(folder: Path, *arguments: str) -> Path:
    command = ["cmake", "-S", str(builds.SOURCE), "-B", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("generator", ["Unix Makefiles", "Ninja"])
def test_a_folder_of_any_generator(generator: str, tmp_path: Path) -> None:
    """The tests' builds and each target of the Makefile go on with it."""
    folder = configured(tmp_path, "-G", generator)
    assert builds.build(str(folder), target="cineflow_wire") == folder
    for target in ("client-cpp", "bench-client"):
        said = subprocess.run(
            ["make", "-n", target, f"CLIENT_CPP={folder}"],
            cwd=builds.ROOT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        (line,) = (one for one in said.splitlines() if one.startswith("cmake -S"))
        subprocess.run(shlex.split(line), cwd=builds.ROOT, check=True, capture_output=True)
    cache = (folder / "CMakeCache.txt").read_text()
    assert f"CMAKE_GENERATOR:INTERNAL={generator}\n" in cache
