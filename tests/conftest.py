"""What several areas share: moving frames, and a real Triton that serves the default bundle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest


def pytest_configure() -> None:
    """A run in the background is born with SIGINT ignored, and so would be all it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def moving_frames() -> np.ndarray:
    """A smooth texture that moves by (+1, +0.5) px per frame, uint8 [12, 128, 160]."""
    import cv2

    noise = np.random.default_rng(7).random((160, 192)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2.5)
    texture = 255 * (texture - texture.min()) / np.ptp(texture)
    frames = []
    for step in range(12):
        shift = np.float32([[1, 0, step - 16], [0, 1, 0.5 * step - 16]])
        frames.append(cv2.warpAffine(texture, shift, (160, 128), flags=cv2.INTER_LINEAR))
    return np.round(frames).astype(np.uint8)


@pytest.fixture(scope="session")
def server_binary():
    """The real server; installed through pip when this machine has none."""
    from cineflow.serving import ServerNotFoundError, find_server, install_server

    try:
        return find_server()
    except ServerNotFoundError:
        return install_server()


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the built-in default bundle."""
    from cineflow.export import write_repository
    from cineflow.runtime import Bundle

    return write_repository(
        [Bundle.load("lucas_kanade")], tmp_path_factory.mktemp("repository") / "models"
    )


@pytest.fixture(scope="session")
def server(server_binary, repository: Path) -> Iterator:
    """A running server with the default bundle, shared by tests that do not harm it."""
    from cineflow.serving import TritonServer

    with TritonServer(repository, binary=server_binary) as running:
        yield running


@pytest.fixture(scope="session")
def left_behind() -> Callable[[str], list[str]]:
    """What is left of the server called `name` once it had ten seconds to go: [] is nothing.

    Only what carries that server's own mark counts: others may run beside the tests.
    """

    def remains(name: str) -> list[str]:
        found = [f"/dev/shm/{entry}" for entry in os.listdir("/dev/shm") if name in entry]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"CINEFLOW_SERVER_ID={name}".encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:  # gone meanwhile, or another user's
                continue
        return found

    def wait(name: str) -> list[str]:
        assert name, "a server that never started leaves nothing to look for"
        deadline = time.monotonic() + 10
        while (found := remains(name)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    return wait
