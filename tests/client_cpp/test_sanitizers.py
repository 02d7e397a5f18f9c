"""The C++ client under sanitizers: the cases, losses, threads, and what a broken server could send.

The cases of the other servers are run next to the fixtures of those servers, in tests/conformance
and tests/kinds.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.export import write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from tests.client_cpp.driver import CppClient, Driver
from tests.client_cpp.hostile import Hostile
from tests.client_cpp.hostile_direct import HostileDoor
from tests.client_cpp.sanitizers import ENVIRONMENT, KINDS, require_clean, run_cases, sanitized
from tests.client_cpp.spoiled import spoiled, spoiled_message

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind: str, server: TritonServer) -> None:
    run_cases(kind, "default", server)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_lost(
    kind: str, server_binary: Any, repository: Path, moving_frames: np.ndarray
) -> None:
    with (
        Driver(sanitized(kind, "driver"), ENVIRONMENT) as driver,
        TritonServer(repository, binary=server_binary) as first,
    ):
        port = int(first.url.rpartition(":")[2])
        client = CppClient(driver, first.url)
        stream = client.stream("lucas_kanade", timeout_s=120)
        display = client.stream("lucas_kanade", policy="newest", timeout_s=120)
        for k in range(20):
            stream.push(moving_frames[k % 12])
            display.submit(moving_frames[k % 12])
        os.kill(first.pid, signal.SIGKILL)
        for k in range(3):
            stream.submit(moving_frames[k])
            display.submit(moving_frames[k])
        first.close()
        with TritonServer(repository, binary=server_binary, grpc_port=port):
            for _ in range(3):
                assert stream.next(60) is not None
            stream.push(moving_frames[3])
            assert stream.about().resumed == "1"
            assert stream.ask("fork") == ["0"]
            display.close()
            stream.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["poll", "callback"])
def test_a_sender_at_full_speed(kind: str, way: str, server: TritonServer) -> None:
    said = require_clean(
        kind, "real_time", server.url, "lucas_kanade", "64", "80", "300", "newest", way
    )
    assert "results 364 errors 0" in said


@pytest.mark.parametrize("kind", KINDS)
def test_many_threads_while_the_server_breaks_off(kind: str) -> None:
    """Three senders, one that asks and two that close, with and without ring and resume."""
    with Hostile() as server:
        server.breaks_after = 7
        require_clean(kind, "ends", "race", server.url, "15")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transport", ["grpc", "ring"])
def test_whatever_a_server_sends(kind: str, transport: str) -> None:
    draw = random.Random(1)
    with Hostile() as server:
        server.spoil = lambda response: spoiled(response, draw)
        require_clean(kind, "ends", "results", server.url, transport)


@pytest.mark.parametrize("kind", KINDS)
def test_many_threads_while_the_models_process_breaks_off(kind: str) -> None:
    """As above, with frames that go directly where there is a ring."""
    with Hostile() as server:
        door = server.door = HostileDoor()
        door.spoil = lambda message: None if door.frames % 9 == 0 else message
        require_clean(kind, "ends", "race", server.url, "15")
        assert door.frames > 20


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_models_process_sends(kind: str) -> None:
    draw = random.Random(1)
    with Hostile() as server:
        door = server.door = HostileDoor()
        door.spoil = lambda message: (
            message if draw.random() < 0.5 else spoiled_message(message, draw)
        )
        require_clean(kind, "ends", "results", server.url, "ring")
        assert door.frames > 50


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_socket(kind: str) -> None:
    with Hostile() as server:
        door = server.door = HostileDoor()
        door.reads.clear()
        reads = threading.Timer(2.0, door.reads.set)
        reads.start()
        said = require_clean(kind, "direct", "full", server.url, "600")
        assert "direct 1 sent 600 good 600 unread 0 ordered 1" in said
        reads.join()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scenario", ["drops", "close_twice", "next"])
def test_ends(kind: str, scenario: str) -> None:
    with Hostile() as server:
        server.silent = scenario != "next"
        require_clean(kind, "ends", scenario, server.url)


@pytest.mark.parametrize("kind", KINDS)
def test_the_c_face(kind: str, server_binary: Any, tmp_path: Path) -> None:
    folder = write_repository([Bundle.load("lucas_kanade")], tmp_path / "models")
    with TritonServer(folder, binary=server_binary, models=["lucas_kanade"]) as server:
        said = require_clean(kind, "c_face", server.url, "lucas_kanade")
    assert "rollback ModelNotFound" in said


def test_what_a_broken_server_could_send() -> None:
    """Truncated, of wrong sizes and types, with unknown names; 60 000 responses, 1200 specs."""
    for seed in range(4):
        require_clean("asan", "fuzz", "300", f"{seed}")
