"""The library for aarch64: compiled with Debian's packages, and run against a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cineflow.serving import TritonServer
from tests.client_cpp import builds
from tests.client_cpp.test_package import execute
from tests.emulator import emulator_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CMAKE = builds.SOURCE / "cmake"


SKIPS, FAILS = pytest.skip.Exception, pytest.fail.Exception
OFFLINE = re.compile(
    "Temporary failure resolving|Could not resolve|Unable to connect|Could not connect"
    "|Network is unreachable|Connection timed out|Connection failed"
)


def lacking() -> str:
    """What this machine lacks to fetch packages for arm64 and to compile with them."""
    for program, package in (
        ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"), ("apt-get", "apt"), ("dpkg", "dpkg"),
    ):  # fmt: skip
        if shutil.which(program) is None:
            return f"{package} is not installed"
    if "arm64" not in execute("dpkg", "--print-foreign-architectures").split():
        return "apt does not know arm64: dpkg --add-architecture arm64 && apt-get update"
    return ""


def unpack(folder: Path, **environment: str) -> None:
    """Skips where no server of packages can be reached; every other failure is one of ours."""
    script = ["sh", CMAKE / "aarch64-sysroot.sh", folder]
    done = subprocess.run(
        script, capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C", **environment},
    )  # fmt: skip
    if done.returncode == 0:
        return
    if OFFLINE.search(done.stderr):
        pytest.skip(f"this machine is offline: {done.stderr[-300:]}")
    pytest.fail(f"Debian's packages for arm64 were not unpacked: {done.stderr[-2000:]}")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("E: Failed to fetch http://d/x.deb  Temporary failure resolving 'd'", SKIPS),
        ("E: Can't find a source to download version '1' of 'libgrpc++-dev:arm64'", FAILS),
        ("E: Failed to fetch http://d/x.deb  404  Not Found", FAILS),
    ],
)
def test_only_a_machine_without_a_network_skips(
    tmp_path: Path, said: str, outcome: type[BaseException]
) -> None:
    for program, lines in (
        ("apt-cache", "echo libgrpc++-dev:arm64"),
        ("apt-get", f'echo "{said}" >&2; exit 100'),
    ):
        (tmp_path / program).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / program).chmod(0o755)
    with pytest.raises(outcome):
        unpack(tmp_path / "sysroot", PATH=f"{tmp_path}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def sysroot() -> Path:
    """Debian's libraries for aarch64, unpacked; kept for the next run."""
    if reason := lacking():
        pytest.skip(reason)
    folder = builds.ROOT / "build" / "aarch64-sysroot"
    if not (folder / "usr").is_dir() or (folder / "packages").exists():  # the script removes them
        unpack(folder)
    return folder


def test_the_library_is_compiled_and_runs(sysroot: Path, server: TritonServer) -> None:
    """protoc and pkg-config are this machine's. The example in C runs in an emulator."""
    if reason := builds.missing():
        pytest.skip(f"the C++ client is not built: {reason}")
    folder = builds.build(
        "client_cpp-aarch64",
        target="track_clip",
        CMAKE_TOOLCHAIN_FILE=str(CMAKE / "aarch64-linux-gnu.cmake"),
        environment={"CINEFLOW_AARCH64": str(sysroot)},
    )
    for name in ("libcineflow_client.so", "track_clip"):
        assert "AArch64" in execute("readelf", "-h", folder / name)
    assert (folder / "libcineflow_client.so").stat().st_size <= 1_000_000
    emulator = emulator_of("aarch64")
    if emulator is None:
        pytest.skip("it was compiled; qemu-user is not installed to run it")
    libraries = f"LD_LIBRARY_PATH={folder}:{sysroot}/usr/lib/aarch64-linux-gnu"
    command = [emulator, "-L", sysroot, "-E", libraries, folder / "track_clip"]
    done = subprocess.run(
        [*map(str, command), server.url, "lucas_kanade"],
        env=dict(os.environ), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert lines[-1].endswith("flow 2x256x256")
