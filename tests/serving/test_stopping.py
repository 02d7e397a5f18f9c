"""A server that is stopped tells its live streams, waits for their end, and stops cleanly."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import Client, ServerDied, ServerStopping, Stream

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)


def push_on(stream: Stream) -> None:
    while True:
        stream.push(FRAME)


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_a_live_stream_is_told(
    server_binary: Any, repository: Path, tmp_path: Path, transport: Any
) -> None:
    log = tmp_path / "server.log"
    server = TritonServer(repository, binary=server_binary, log_file=log).start()
    with (
        Client(server.url) as client,
        client.stream("lucas_kanade", transport, resume_s=0) as stream,
    ):
        stream.push(FRAME)
        stopping = threading.Thread(target=server.close)
        stopping.start()
        with pytest.raises(ServerStopping, match="was not tracked"):
            push_on(stream)
        stopping.join()
    text = log.read_text()
    assert "All models are stopped" in text
    assert "failed to stop server" not in text


def test_a_stream_that_is_silent_does_not_hold_it(server_binary: Any, repository: Path) -> None:
    with TritonServer(repository, binary=server_binary) as server:
        client = Client(server.url)
        stream = client.stream("lucas_kanade", resume_s=0)
        stream.push(FRAME)
    with pytest.raises(ServerDied):
        stream.push(FRAME)
    client.close()


def test_sigterm_is_a_regular_end_of_serve() -> None:
    """As an init system stops it."""
    program = subprocess.Popen(
        [Path(sys.executable).with_name("cineflow"), "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert "serving with Triton" in program.stdout.readline()
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=60)
    assert program.returncode == 0
