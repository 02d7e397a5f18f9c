"""Streams that the C++ client loses, and that go on: the server, the connection, the ring."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream as InProcess
from cineflow.served import encode
from cineflow.serving import TritonServer
from cineflow_client import (
    Client,
    FrameRejected,
    ServerDied,
    StreamBusy,
    StreamTimeout,
)
from tests.client.test_half_open import Proxy
from tests.client.test_policies import Stopped
from tests.client_cpp.driver import CppClient, CppStream, Driver
from tests.client_cpp.fixtures import driver, frames
from tests.client_cpp.middleman import Middleman

__all__ = ["driver", "frames"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


@pytest.fixture(scope="module")
def expected(frames: np.ndarray) -> list[dict[str, np.ndarray]]:
    """What an uninterrupted stream says."""
    bundle = Bundle.load("lucas_kanade")
    stream = InProcess(open_engine(bundle), bundle.spec)
    spec = json.loads(bundle.spec.to_json())
    return [encode(stream.push(frame), spec) for frame in frames]


def require_same(there: dict[str, np.ndarray], here: dict[str, np.ndarray]) -> None:
    for name in ("flow", "displacement", "quality_parts", "beat_info", "indices"):
        np.testing.assert_array_equal(there[name], here[name], err_msg=name)


def memory_of(process: int) -> list[str]:
    return [name for name in os.listdir("/dev/shm") if f"-{process}-" in name]


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_a_server_that_is_killed_and_comes_back(
    server_binary: Any,
    repository: Path,
    driver: Driver,
    frames: np.ndarray,
    expected: list[dict[str, np.ndarray]],
    transport: str,
) -> None:
    """With four frames in flight; each gets its result, from the new server."""
    with TritonServer(repository, binary=server_binary) as first:
        port = int(first.url.rpartition(":")[2])
        stream = CppClient(driver, first.url).stream("lucas_kanade", transport)
        for frame, here in zip(frames[:22], expected, strict=False):
            require_same(stream.push(frame), here)
        os.kill(first.pid, signal.SIGKILL)
        for frame in frames[22:26]:
            stream.submit(frame)
        with pytest.raises(StreamBusy):
            stream.submit(frames[26])
        first.close()
        with TritonServer(repository, binary=server_binary, grpc_port=port):
            for here in expected[22:26]:
                came = stream.next(60)
                assert came is not None
                require_same(came[1], here)
            for frame, here in zip(frames[26:], expected[26:], strict=True):
                require_same(stream.push(frame), here)
            about = stream.about()
            assert (about.resumed, about.transport) == ("1", transport)
            stream.close()
    assert not memory_of(driver.process.pid)


def test_a_connection_that_falls_silent(
    driver: Driver, server: TritonServer, frames: np.ndarray, expected: list[dict[str, np.ndarray]]
) -> None:
    """Noticed within 7 s, and the stream goes on through a new connection."""
    proxy = Proxy(server.url)
    try:
        stream = CppClient(driver, proxy.url, timeout_s=2).stream("lucas_kanade", timeout_s=30)
        for frame, here in zip(frames[:3], expected, strict=False):
            require_same(stream.push(frame), here)
        assert stream.about().transport == "grpc"  # the key is another port's
        proxy.fall_silent()
        stream.submit(frames[3])
        began = time.monotonic()
        time.sleep(1)
        proxy.speak()
        came = stream.next(20)
        assert came is not None
        require_same(came[1], expected[3])
        assert time.monotonic() - began < 12
        assert stream.about().resumed == "1"
        stream.close()
    finally:
        proxy.close()


def test_a_server_that_does_not_come_back(
    server_binary: Any, repository: Path, driver: Driver, frames: np.ndarray
) -> None:
    with TritonServer(repository, binary=server_binary) as server:
        client = CppClient(driver, server.url)
        for resume_s in (0, 1):
            stream = client.stream("lucas_kanade", resume_s=resume_s)
            stream.push(frames[0])
        last = client.stream("lucas_kanade", resume_s=0)
        last.push(frames[0])
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServerDied):
            last.push(frames[1])
        with pytest.raises(ServerDied):
            stream.push(frames[1])
        with pytest.raises(ServerDied):  # it has ended
            stream.push(frames[2])
        driver.ask("client", "127.0.0.1:1")  # ends the streams; nothing waits for long
    assert not memory_of(driver.process.pid)


def test_a_server_that_hangs(
    server_binary: Any, repository: Path, driver: Driver, frames: np.ndarray
) -> None:
    with TritonServer(repository, binary=server_binary) as server:
        stream = CppClient(driver, server.url, timeout_s=3).stream("lucas_kanade", timeout_s=1)
        stream.push(frames[0])
        with Stopped(server), pytest.raises(StreamTimeout):
            stream.push(frames[1])
        stream.close()


# --- A ring that is lost again --------------------------------------------------------------------


def resumed(stream: Any) -> int:
    return int(stream.about().resumed) if isinstance(stream, CppStream) else stream.resumed


@contextlib.contextmanager
def stream_of(
    client: str, driver: Driver, url: str, resume_s: float = 30
) -> Iterator[tuple[Any, int]]:
    """A stream of one of the two clients, and the process that it is in."""
    if client == "C++":
        stream = CppClient(driver, url).stream("lucas_kanade", "shm", resume_s=resume_s)
        yield stream, driver.process.pid
        stream.close()
    else:
        with Client(url) as python, python.stream("lucas_kanade", "shm", resume_s=resume_s) as twin:
            yield twin, os.getpid()


def tensors(result: Any) -> dict[str, np.ndarray]:
    """What came, in one form for both clients."""
    if isinstance(result, tuple):
        return result[1]
    if isinstance(result, dict):
        return result
    return encode(result, json.loads(Bundle.load("lucas_kanade").spec.to_json()))


def came(stream: Any, sent: Any) -> dict[str, np.ndarray]:
    return tensors(stream.next(30) if isinstance(stream, CppStream) else sent.result())


def wait_for(middleman: Middleman, stolen: int) -> None:
    end = time.monotonic() + 30
    while middleman.stolen < stolen:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("client", ["C++", "Python"])
def test_a_ring_that_is_lost_again_and_again(
    client: str,
    driver: Driver,
    server: TritonServer,
    frames: np.ndarray,
    expected: list[dict[str, np.ndarray]],
) -> None:
    """Its frames come back, however often that happens: nothing says that they kill a server."""
    with (
        Middleman(server) as middleman,
        stream_of(client, driver, middleman.url) as (stream, process),
    ):
        require_same(tensors(stream.push(frames[0])), expected[0])
        middleman.steal(process)
        sent = [stream.submit(frame) for frame in frames[1:4]]
        wait_for(middleman, 6)  # 0.05 + 0.1 + 0.2 + 0.4 + 0.8 + 1 s apart
        middleman.steals = False
        for one, here in zip(sent, expected[1:], strict=False):
            require_same(came(stream, one), here)
        require_same(tensors(stream.push(frames[4])), expected[4])
        assert resumed(stream) >= 7


@pytest.mark.parametrize("client", ["C++", "Python"])
def test_a_server_that_dies_while_the_ring_is_lost(
    client: str,
    server_binary: Any,
    repository: Path,
    driver: Driver,
    frames: np.ndarray,
    expected: list[dict[str, np.ndarray]],
) -> None:
    """And whose successor loses the next rings. One death does not leave a frame out."""
    with (
        TritonServer(repository, binary=server_binary) as first,
        Middleman(first) as middleman,
        stream_of(client, driver, middleman.url) as (stream, process),
    ):
        require_same(tensors(stream.push(frames[0])), expected[0])
        middleman.steal(process)
        sent = [stream.submit(frame) for frame in frames[1:4]]
        wait_for(middleman, 2)
        os.kill(first.pid, signal.SIGKILL)
        first.close()
        with TritonServer(repository, binary=server_binary) as second:
            middleman.switch_to(second)
            wait_for(middleman, middleman.stolen + 3)
            middleman.steals = False
            for one, here in zip(sent, expected[1:], strict=False):
                require_same(came(stream, one), here)
            require_same(tensors(stream.push(frames[4])), expected[4])


@pytest.mark.parametrize("client", ["C++", "Python"])
def test_a_ring_that_stays_lost(
    client: str, driver: Driver, server: TritonServer, frames: np.ndarray
) -> None:
    """The stream ends in the same way as where no server takes it again."""
    with (
        Middleman(server) as middleman,
        stream_of(client, driver, middleman.url, resume_s=1) as (stream, process),
    ):
        stream.push(frames[0])
        middleman.steal(process)
        with pytest.raises(ServerDied, match="takes the stream again within 1 s") as ended:
            stream.push(frames[1])
        assert type(ended.value) is ServerDied


def test_a_ring_that_is_lost_before_any_result(
    driver: Driver, server: TritonServer, frames: np.ndarray
) -> None:
    """Frames travel in messages then. The first one was refused here, so the next one begins."""
    ramp = np.linspace(0, 1, 128 * 160, dtype=np.float32).reshape(128, 160)
    with Middleman(server) as middleman:
        stream = CppClient(driver, middleman.url, floats=True).stream("lucas_kanade", "shm")
        with pytest.raises(FrameRejected, match=r"scaled to 0\.\.1"):
            stream.push(ramp)
        middleman.steal(driver.process.pid)
        with pytest.raises(FrameRejected, match="maps the stream's shared memory"):
            stream.push(frames[0])
        assert stream.push(frames[1])["indices"][0] == 0
        assert stream.push(frames[2])["indices"][1] == 0
        assert stream.about().transport == "grpc"
        stream.close()
