"""Who owns a stream's shared memory, and when it is given back."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import grpc
import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import CineflowClientError, Client, FrameRejected, Stream, StreamTimeout
from cineflow_client.ring import orphaned
from cineflow_client.session import Session
from tests.client.test_policies import Stopped

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)


@pytest.fixture
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


def mapped_by_the_server(client: Client) -> list[str]:
    """Regions of this process."""
    return [name for name in client.mapped_regions() if f"-{os.getpid()}-" in name]


def mapped_here() -> int:
    """How many rings this process maps."""
    with open("/proc/self/maps") as maps:
        return len(set(re.findall(rf"/dev/shm/(cineflow-\d+-{os.getpid()}-\w+)", maps.read())))


@contextlib.contextmanager
def threads_end() -> Iterator[None]:
    """What starts inside ends soon after: the threads that read a stream and feed its call."""
    before = threading.active_count()
    yield
    until = time.monotonic() + 20
    while threading.active_count() > before:
        assert time.monotonic() < until, threading.enumerate()
        time.sleep(0.02)


def test_a_dropped_stream_gives_its_ring_back(client: Client) -> None:
    client.models()
    with threads_end():
        stream = client.stream("lucas_kanade", "shm")
        stream.push(FRAME)
        assert mapped_here() == 1
        assert len(mapped_by_the_server(client)) == 1
        del stream
        gc.collect()
    assert mapped_here() == 0
    assert not mapped_by_the_server(client)


@pytest.mark.parametrize("wait_s", [0.0, 0.02, 0.05, 0.1])
def test_a_broken_stream_gives_its_ring_back_while_it_is_kept(
    client: Client, wait_s: float
) -> None:
    """Whether the server is just mapping the ring or computing a frame that lies in it."""
    client.models()
    large = np.tile(FRAME, (8, 8))
    with threads_end():
        stream = client.stream("lucas_kanade", "shm")
        with contextlib.suppress(StreamTimeout):  # a fast machine has the result by then
            stream.submit(large).result(timeout_s=wait_s)
        stream.fail(StreamTimeout("a result", "none"))
    assert mapped_here() == 0
    assert not mapped_by_the_server(client)
    with pytest.raises(StreamTimeout):
        stream.push(large)


def test_a_stream_that_breaks_while_frames_are_written(client: Client) -> None:
    """The memory is not unmapped under a thread that writes to it; the thread's frames raise."""
    client.models()

    def submit_on(stream: Stream) -> None:
        while True:
            stream.submit(FRAME, wait_s=1.0)

    with threads_end(), ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            stream = client.stream("lucas_kanade", "shm", slots=8)
            stream.push(FRAME)
            sending = pool.submit(submit_on, stream)
            time.sleep(0.01)
            stream.fail(StreamTimeout("a test", "its end"))
            assert isinstance(sending.exception(timeout=10), StreamTimeout)
    assert mapped_here() == 0


#: A child that inherits a stream uses it, closes it and ends as programs do.
FORKS = """
import os, sys
import numpy as np
from cineflow_client import Client, OtherProcess
frame = np.zeros((64, 80), np.uint8)
client = Client(sys.argv[1])
stream = client.stream("lucas_kanade", "shm")
waiting = stream.submit(frame)
waiting.result()
if (child := os.fork()) == 0:
    refused = 0
    for use in (
        lambda: stream.push(frame),
        lambda: stream.submit(frame),
        waiting.result,
        client.models,
        lambda: client.stream("lucas_kanade"),
    ):
        try:
            use()
        except OtherProcess:
            refused += 1
    stream.close()
    client.close()
    del stream, waiting, client
    sys.exit(refused)
_, status = os.waitpid(child, 0)
print("refused", os.waitstatus_to_exitcode(status))
for _ in range(5):
    result = stream.push(frame)
print("then", result.current, stream.transport)
"""


def test_a_forked_child_touches_nothing(server: TritonServer) -> None:
    program = subprocess.run(
        [sys.executable, "-c", FORKS, server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert program.stdout == "refused 5\nthen 5 shm\n", program.stderr


def test_a_ring_of_another_user_is_not_an_orphan() -> None:
    """Its process may not be signalled, and /proc may not show it (hidepid=2)."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    namespace = os.stat("/proc/self/ns/pid").st_ino
    names = [f"cineflow-{namespace}-{pid}-00" for pid in (os.getpid(), 4194305)]
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setuid(65534)
            os.write(writer, ",".join(orphaned(names)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader) as found:
        assert found.read() == names[1]


# -- a region that the server has lost -------------------------------------------------------------


def test_a_lost_region_costs_one_frame(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where frames go by the call; the process of a model maps the ring by itself."""
    monkeypatch.setattr(Session, "open_direct", lambda self, name: False)
    with client.stream("lucas_kanade", "shm", resume_s=0) as stream:
        stream.push(FRAME)
        client.unregister_memory(*mapped_by_the_server(client))
        with pytest.raises(FrameRejected, match="goes on with gRPC"):
            stream.push(FRAME)
        assert stream.push(FRAME).current == 1
        assert stream.transport == "grpc"
        assert "no longer maps" in stream.transport_reason


def test_a_region_that_is_lost_before_the_first_frame(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Client.register_memory

    def lost_at_once(self: Client, name: str, byte_size: int) -> None:
        register(self, name, byte_size)
        self.unregister_memory(name)

    monkeypatch.setattr(Client, "register_memory", lost_at_once)
    with client.stream("lucas_kanade") as stream:
        with pytest.raises(FrameRejected, match="goes on with gRPC"):
            stream.push(FRAME)
        assert [stream.push(FRAME).current for _ in range(3)] == [0, 1, 2]


class InUse(grpc.RpcError):
    """What Triton says while a request still holds the region."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INTERNAL

    def details(self) -> str:
        return "Cannot unregister shared memory region 'a', it is currently in use."


def test_a_region_in_use_is_asked_for_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    unregister, refusals = client.stub.SystemSharedMemoryUnregister, iter(range(3))

    def refused_at_first(*args: Any, **kwargs: Any) -> Any:
        if next(refusals, None) is not None:
            raise InUse
        return unregister(*args, **kwargs)

    monkeypatch.setattr(client.stub, "SystemSharedMemoryUnregister", refused_at_first)
    with client.stream("lucas_kanade", "shm") as stream:
        stream.push(FRAME)
    assert not mapped_by_the_server(client)
    assert next(refusals, None) is None
    monkeypatch.setattr(client.stub, "SystemSharedMemoryUnregister", Mock(side_effect=InUse))
    with pytest.raises(CineflowClientError, match="in use"):
        client.unregister_memory("a", wait_s=0.1)


# -- a server that stands still --------------------------------------------------------------------


def test_submit_does_not_wait_for_a_server_that_stands_still(
    client: Client, server: TritonServer
) -> None:
    stream: Stream
    with client.stream("lucas_kanade", slots=2) as stream:
        frame = FRAME.copy()
        with Stopped(server):
            waiting = [stream.submit(frame)]
            frame[:] = 0  # the caller's array is its own again
            waiting.append(stream.submit(FRAME))
            assert not any(one.done() for one in waiting)
        first, second = (one.result() for one in waiting)
        assert (first.current, second.current) == (0, 1)
        assert second.repeat, "the first frame was sent as it was when it was submitted"
        assert stream.transport == "shm"
