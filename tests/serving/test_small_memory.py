"""A /dev/shm that is too small, and a machine without CUDA."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cineflow.errors import ArgumentError
from cineflow.serving import SharedMemoryFullError, TritonServer, memory

#: Starts a server; streams frames of two sizes.
PROGRAM = """
import sys
import numpy as np
from cineflow.serving import SharedMemoryFullError, TritonServer
from cineflow_client import Client, ServerRefused
try:
    with TritonServer(sys.argv[1]) as server, Client(server.url) as client:
        for size in (512, 1024):
            with client.stream("lucas_kanade", "grpc") as stream:
                for _ in range(2):
                    stream.push(np.zeros((size, size), np.uint8))
            print(size, flush=True)
except (SharedMemoryFullError, ServerRefused) as error:
    print(type(error).__name__, error.remedy, sep="; ")
"""


def run_with_shared_memory(megabytes: int, repository: Path) -> list[str]:
    """The lines that PROGRAM prints where /dev/shm has this size."""
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "-", sys.executable, "-c", PROGRAM]
    ended = subprocess.run([*command, str(repository)], capture_output=True, text=True)
    if re.search("unshare failed|must be superuser|permission denied", ended.stderr):
        pytest.skip("only root can give a program another /dev/shm")
    return ended.stdout.splitlines()


def test_a_server_does_not_start_where_no_usual_frame_fits(repository: Path) -> None:
    (refusal,) = run_with_shared_memory(4, repository)
    assert re.match(r"SharedMemoryFullError; .*--shm-size=\d+m", refusal)


@pytest.mark.slow
def test_a_frame_that_does_not_fit_is_refused_in_plain_words(repository: Path) -> None:
    usual, refusal = run_with_shared_memory(12, repository)
    assert usual == "512"
    assert refusal.startswith("ServerRefused; Send smaller frames")


def test_an_unusable_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.pbtxt").write_bytes(b"\xff")
    with pytest.raises(ArgumentError, match=r"model/config\.pbtxt.*cineflow repo"):
        memory.require_shared_memory(tmp_path, None)


def test_the_memory_of_every_model_counts(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Status:
        f_frsize = 1
        f_bavail = 6_000_000

    monkeypatch.setattr(memory.os, "statvfs", lambda path: Status)
    with pytest.raises(SharedMemoryFullError, match=r"7\.\d MB free"):
        memory.require_shared_memory(repository, None)
    with pytest.raises(SharedMemoryFullError):  # the alias also loads its model
        memory.require_shared_memory(repository, ["lucas_kanade"])
    memory.require_shared_memory(repository, [])


def test_a_start_without_cuda_logs_no_error(server: TritonServer) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has CUDA")
    end = time.monotonic() + 10
    while "without CUDA" not in server.log_tail(1000):
        assert time.monotonic() < end, server.log_tail(1000)
        time.sleep(0.05)
    for line in server.log_tail(1000).splitlines():
        assert not re.search("CUDA driver|CudaDriverHelper", line), line
