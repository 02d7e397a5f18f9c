"""Builds of client/cpp for the tests, each in its own folder under build/."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "client" / "cpp"
CORES = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)


def missing() -> str:
    """What this machine lacks to build it; "" if nothing."""
    for program in ("protoc", "pkg-config", "g++"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    found = subprocess.run(["pkg-config", "--exists", "grpc++", "protobuf-lite"], check=False)
    return "" if found.returncode == 0 else "libgrpc++-dev is not installed"


def build(
    name: str = "client_cpp-tests",
    *,
    target: str = "all",
    environment: Mapping[str, str] | None = None,
    **options: str,
) -> Path:
    """Compile what is out of date in build/`name`; return that folder.

    Args:
        name: The folder. One that exists keeps its generator; a new one gets Ninja if it is there.
        target: What is built.
        environment: Further variables.
        options: Of CMake.
    """
    folder = ROOT / "build" / name
    if shutil.which("ccache"):
        options = {"CMAKE_CXX_COMPILER_LAUNCHER": "ccache", **options}
    options["CINEFLOW_CLIENT_TESTS"] = "ON"
    defines = [f"-D{key}={value}" for key, value in options.items()]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # With -G, CMake refuses a folder of another generator. The variable is for new folders only.
    generator = {"CMAKE_GENERATOR": "Ninja"} if shutil.which("ninja", path=path) else {}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # the tests run in two processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "-S", str(SOURCE), "-B", str(folder), *defines],
            ["cmake", "--build", str(folder), "--target", target, "--parallel", CORES],
        ):
            done = subprocess.run(
                command,
                env={
                    **generator,
                    **os.environ,
                    "PATH": path,
                    "CCACHE_BASEDIR": str(ROOT),
                    **(environment or {}),
                },
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
    return folder
