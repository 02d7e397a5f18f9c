"""client/cpp stands alone: installed, found by CMake and pkg-config, small, and without symbols."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cineflow.serving import TritonServer
from tests.client_cpp.fixtures import built

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PROGRAM = """\
#include <cstdio>

#include "cineflow_client.hpp"

int main(int, char** arguments) {
  cineflow_client::Client client(arguments[1]);
  std::puts(client.model("lucas_kanade").served_name.c_str());
}
"""
PROJECT = """\
cmake_minimum_required(VERSION 3.18)
project(scanner LANGUAGES CXX)
find_package(cineflow_client 0.1 REQUIRED)
foreach(kind shared static)
  add_executable(with_${kind} main.cpp)
  target_link_libraries(with_${kind} PRIVATE cineflow_client::${kind})
endforeach()
"""


def execute(*command: str | Path, **environment: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    execute("cmake", "--install", built(), "--prefix", prefix)
    return prefix


def test_a_program_finds_it_by_cmake(installed: Path, tmp_path: Path, server: TritonServer) -> None:
    (tmp_path / "main.cpp").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    made = tmp_path / "build"
    execute("cmake", "-S", tmp_path, "-B", made, f"-DCMAKE_PREFIX_PATH={installed}")
    execute("cmake", "--build", made)
    for kind in ("shared", "static"):
        assert execute(made / f"with_{kind}", server.url).startswith("lucas_kanade-")


def test_a_program_finds_it_by_pkg_config(
    installed: Path, tmp_path: Path, server: TritonServer
) -> None:
    (tmp_path / "main.cpp").write_text(PROGRAM)
    (pc,) = installed.glob("lib*/**/cineflow_client.pc")
    text = pc.read_text()
    first = text.splitlines()[0]
    pc.write_text(text.replace(first, f"prefix={installed}"))
    flags = execute(
        "pkg-config", "--cflags", "--libs", "cineflow_client", PKG_CONFIG_PATH=str(pc.parent)
    ).split()
    program = tmp_path / "program"
    execute("g++", "-std=c++17", tmp_path / "main.cpp", "-o", program, *flags)
    libraries = str(pc.parents[1])
    said = execute(program, server.url, LD_LIBRARY_PATH=libraries)
    assert said.startswith("lucas_kanade-")


def test_the_library_is_small_and_shows_its_own_symbols_only(installed: Path) -> None:
    (library,) = {path.resolve() for path in installed.glob("lib*/**/libcineflow_client.so*")}
    assert library.stat().st_size <= 1_000_000
    symbols = execute("nm", "-D", "--defined-only", "-C", library).splitlines()
    names = [line.split(" ", 2)[2] for line in symbols]
    own = [name for name in names if name.startswith("cfc_") or "cineflow_client::" in name]
    foreign = [name for name in names if "grpc" in name or "protobuf" in name or "wire" in name]
    assert len(own) > 40
    assert not foreign
