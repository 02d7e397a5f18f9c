"""A server that is stopped tells its live streams, waits for their end, and stops cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import (
    CineflowClientError,
    Client,
    ServerBusy,
    ServerDied,
    ServerStopping,
    Stream,
)

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


def test_a_server_that_stops_takes_no_new_stream(server_binary: Any, repository: Path) -> None:
    """Triton keeps a model that a request reaches while it stops, and ends in its time by force."""
    server = TritonServer(repository, binary=server_binary).start()
    with Client(server.url) as client, client.stream("lucas_kanade", resume_s=0) as stream:
        stream.push(FRAME)
        stopping = threading.Thread(target=server.close)
        stopping.start()
        with pytest.raises(ServerStopping, match="was not tracked"):
            push_on(stream)
        with (
            pytest.raises(CineflowClientError),
            client.stream("lucas_kanade", resume_s=0) as late,
        ):
            late.push(FRAME)
        stopping.join(10.0)
        assert not stopping.is_alive()


def test_a_stream_that_is_silent_does_not_hold_it(
    server_binary: Any, repository: Path, tmp_path: Path
) -> None:
    """Triton waits for it as long as for streams and models together, and then fails to stop."""
    log = tmp_path / "server.log"
    with TritonServer(repository, binary=server_binary, log_file=log) as server:
        client = Client(server.url)
        stream = client.stream("lucas_kanade", resume_s=0)
        stream.push(FRAME)
    assert "Timeout 2: Found 1 model versions" in log.read_text()
    assert "Timeout 1: " not in log.read_text()
    assert "failed to stop server" not in log.read_text()
    with pytest.raises(ServerDied):
        stream.push(FRAME)
    client.close()


def serve(*options: str) -> tuple[subprocess.Popen[str], str, list[str]]:
    """Run `cineflow serve`; returns the program, its gRPC address and what it printed."""
    program = subprocess.Popen(
        [Path(sys.executable).with_name("cineflow"), "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    lines = []
    while not lines or "metrics on" not in lines[-1]:
        lines.append(program.stdout.readline())
        assert lines[-1], program.communicate()[1]
    address = re.search(r" on (\S+) \(gRPC\)", lines[0])
    assert address is not None
    return program, address[1], lines


def test_sigterm_is_a_regular_end_of_serve() -> None:
    """As an init system stops it. Its options reach the model."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    program, url, lines = serve(
        "--places", "1", "--idle", "77", "--threads", "1", "--metrics-port", str(port)
    )
    assert f"127.0.0.1:{port}/metrics" in lines[-1]
    with Client(url) as client:
        assert client.model("lucas_kanade").idle_timeout_s == 77
        with client.stream("lucas_kanade") as stream:
            stream.push(FRAME)
            with client.stream("lucas_kanade") as refused, pytest.raises(ServerBusy):
                refused.push(FRAME)
            program.send_signal(signal.SIGTERM)  # with a live stream
            program.communicate(timeout=60)
    assert program.returncode == 0


@pytest.mark.slow
def test_serve_goes_on_after_its_model_was_killed() -> None:
    program, url, _ = serve()
    try:
        with Client(url) as client:
            stream = client.stream("lucas_kanade", resume_s=0)
            stream.push(FRAME)
            for victim in stubs_below(program.pid):
                os.kill(victim, signal.SIGKILL)
            with pytest.raises(ServerDied):
                push_on(stream)
            # Triton counts as ready until it is ended: the program says when that has happened.
            assert program.stderr is not None
            assert any("started again" in line for line in program.stderr)
            until = time.monotonic() + 60
            while not client.is_ready():
                assert time.monotonic() < until
                time.sleep(0.1)
            with client.stream("lucas_kanade") as again:
                assert again.push(FRAME).current == 0
    finally:
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=60)
    assert program.returncode == 0


def stubs_below(pid: int) -> list[int]:
    """Process ids of the models' processes that a program has started."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            name = Path(f"/proc/{child}/cmdline").read_text()
            found += [child] if "python_backend_stub" in name else stubs_below(child)
    return found
