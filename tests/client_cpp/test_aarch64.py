"""The library for aarch64: compiled with Debian's packages, and run against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cineflow.serving import TritonServer
from tests.client_cpp import builds
from tests.client_cpp.test_package import execute

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CMAKE = builds.SOURCE / "cmake"


@pytest.fixture(scope="module")
def sysroot() -> Path:
    """Debian's libraries for aarch64, unpacked; kept for the next run."""
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("g++-aarch64-linux-gnu is not installed")
    folder = builds.ROOT / "build" / "aarch64-sysroot"
    if not (folder / "usr").is_dir() or (folder / "packages").exists():  # the script removes them
        script = ["sh", CMAKE / "aarch64-sysroot.sh", folder]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"Debian's packages for arm64 cannot be had: {done.stderr[-300:]}")
    return folder


def test_the_library_is_compiled_and_runs(sysroot: Path, server: TritonServer) -> None:
    """protoc and pkg-config are this machine's. The example in C runs in an emulator."""
    if lacking := builds.missing():
        pytest.skip(f"the C++ client is not built: {lacking}")
    folder = builds.build(
        "client_cpp-aarch64",
        target="track_clip",
        CMAKE_TOOLCHAIN_FILE=str(CMAKE / "aarch64-linux-gnu.cmake"),
        environment={"CINEFLOW_AARCH64": str(sysroot)},
    )
    for name in ("libcineflow_client.so", "track_clip"):
        assert "AArch64" in execute("readelf", "-h", folder / name)
    assert (folder / "libcineflow_client.so").stat().st_size <= 1_000_000
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("it was compiled; qemu-aarch64 is not installed to run it")
    libraries = f"LD_LIBRARY_PATH={folder}:{sysroot}/usr/lib/aarch64-linux-gnu"
    command = ["qemu-aarch64", "-L", sysroot, "-E", libraries, folder / "track_clip"]
    done = subprocess.run(
        [*map(str, command), server.url, "lucas_kanade"],
        env=dict(os.environ), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert lines[-1].endswith("flow 2x256x256")
