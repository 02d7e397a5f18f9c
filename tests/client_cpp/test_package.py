"""client/cpp stands alone: installed, found by CMake and pkg-config, small, and without symbols."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cineflow.serving import TritonServer
from tests.client_cpp import builds
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
find_package(cineflow_client 0.1 REQUIRED COMPONENTS {components})
foreach(kind {components})
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


def project(folder: Path, components: str) -> Path:
    (folder / "main.cpp").write_text(PROGRAM)
    (folder / "CMakeLists.txt").write_text(PROJECT.replace("{components}", components))
    return folder


def test_a_program_finds_it_by_cmake(installed: Path, tmp_path: Path, server: TritonServer) -> None:
    made = tmp_path / "build"
    source = project(tmp_path, "shared static")
    execute("cmake", "-S", source, "-B", made, f"-DCMAKE_PREFIX_PATH={installed}")
    execute("cmake", "--build", made)
    for kind in ("shared", "static"):
        assert execute(made / f"with_{kind}", server.url).startswith("lucas_kanade-")


def test_the_shared_library_is_used_without_grpcs_headers(installed: Path, tmp_path: Path) -> None:
    """Only the static one asks for them, and says which packages have them."""
    here = ("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed}")
    nothing = str(tmp_path / "no-packages")
    (pc,) = installed.glob("lib*/**/cineflow_client.pc")
    search = {"PKG_CONFIG_LIBDIR": nothing, "PKG_CONFIG_PATH": str(pc.parent)}
    execute("pkg-config", "--cflags", "--libs", "cineflow_client", **search)
    project(tmp_path, "shared")
    execute(*here, PKG_CONFIG_LIBDIR=nothing)
    execute("cmake", "--build", tmp_path / "build")
    project(tmp_path, "shared static")
    with pytest.raises(AssertionError, match=r"libgrpc\+\+-dev"):
        execute(*here, PKG_CONFIG_LIBDIR=nothing)


@pytest.mark.parametrize(("version", "fits"), [("0.1", True), ("0.0", False), ("0.2", False)])
def test_before_version_1_a_package_fits_its_minor_version(
    installed: Path, tmp_path: Path, version: str, fits: bool
) -> None:
    (file,) = installed.glob("lib*/**/cineflow_clientConfigVersion.cmake")
    major, minor = version.split(".")
    (tmp_path / "ask.cmake").write_text(f"""\
set(PACKAGE_FIND_VERSION {version})
set(PACKAGE_FIND_VERSION_MAJOR {major})
set(PACKAGE_FIND_VERSION_MINOR {minor})
include({file})
message("fits=[${{PACKAGE_VERSION_COMPATIBLE}}]")
""")
    done = subprocess.run(
        ["cmake", "-P", tmp_path / "ask.cmake"], check=True, capture_output=True, text=True
    )
    assert ("fits=[TRUE]" in done.stderr) is fits


@pytest.mark.parametrize("package", ["cineflow_client", "cineflow_client-static"])
def test_a_program_finds_it_by_pkg_config(
    installed: Path, tmp_path: Path, server: TritonServer, package: str
) -> None:
    (tmp_path / "main.cpp").write_text(PROGRAM)
    (pc,) = installed.glob("lib*/**/cineflow_client.pc")
    flags = execute(
        "pkg-config", "--cflags", "--libs", package, PKG_CONFIG_PATH=str(pc.parent)
    ).split()
    program = tmp_path / "program"
    execute("g++", "-std=c++17", tmp_path / "main.cpp", "-o", program, *flags)
    libraries = str(pc.parents[1])
    said = execute(program, server.url, LD_LIBRARY_PATH=libraries)
    assert said.startswith("lucas_kanade-")


def test_pkg_config_follows_an_absolute_libdir(tmp_path: Path) -> None:
    """It stays where it is with every prefix. Nothing is compiled for this."""
    libraries, prefix = tmp_path / "elsewhere" / "lib", tmp_path / "prefix"
    made = tmp_path / "build"
    execute("cmake", "-S", builds.SOURCE, "-B", made, f"-DCMAKE_INSTALL_LIBDIR={libraries}")
    execute("cmake", "--install", made, "--prefix", prefix, "--component", "pkgconfig")

    def said(name: str) -> str:
        command = ("pkg-config", f"--variable={name}", "cineflow_client")
        return execute(*command, PKG_CONFIG_PATH=str(libraries / "pkgconfig")).strip()

    assert said("libdir") == str(libraries)
    assert said("includedir") == str(prefix / "include")


def test_the_library_is_small_and_shows_its_own_symbols_only(installed: Path) -> None:
    (library,) = {path.resolve() for path in installed.glob("lib*/**/libcineflow_client.so*")}
    assert library.stat().st_size <= 1_000_000
    symbols = execute("nm", "-D", "--defined-only", "-C", library).splitlines()
    names = [line.split(" ", 2)[2] for line in symbols]
    own = [name for name in names if name.startswith("cfc_") or "cineflow_client::" in name]
    foreign = [name for name in names if "grpc" in name or "protobuf" in name or "wire" in name]
    assert len(own) > 40
    assert not foreign
    assert "soname: [libcineflow_client.so.0.1]" in execute("readelf", "-d", library)
