"""A stream that the server lost goes on in another sequence, as if nothing had happened."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream as InProcess
from cineflow.serving import TritonServer
from cineflow_client import (
    CineflowClientError,
    Client,
    Result,
    ServerBusy,
    ServerDied,
    Stream,
    StreamBroken,
    StreamClosed,
)
from cineflow_client.session import Session
from tests.client.test_half_open import Proxy


@pytest.fixture
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def expected(moving_frames: np.ndarray) -> list[Result]:
    """What an uninterrupted stream says about 36 frames."""
    bundle = Bundle.load("lucas_kanade")
    stream = InProcess(open_engine(bundle), bundle.spec)
    return [stream.push(frame) for frame in there_and_back(moving_frames)]


def there_and_back(frames: np.ndarray) -> np.ndarray:
    """36 frames of a texture that goes there, back and there."""
    return np.concatenate([frames, frames[::-1], frames])


def push_on(stream: Stream, frame: np.ndarray) -> None:
    while True:
        stream.push(frame)


def require_same(there: Result, here: Result) -> None:
    assert (there.current, there.previous, there.reference) == (
        here.current,
        here.previous,
        here.reference,
    )
    np.testing.assert_array_equal(there.flow, here.flow)
    np.testing.assert_array_equal(there.displacement, here.displacement)
    assert vars(there.quality_parts) == vars(here.quality_parts)
    assert vars(there.beat_info) == vars(here.beat_info)
    assert (there.gap_frames, there.re_referenced) == (0, False)


@pytest.mark.parametrize("transport", ["shm", pytest.param("grpc", marks=pytest.mark.slow)])
def test_the_server_is_killed_and_comes_back(
    server_binary: Any,
    repository: Path,
    moving_frames: np.ndarray,
    expected: list[Result],
    transport: Any,
) -> None:
    """With four frames in flight; each gets its result, from the new server.

    The caller has one array for all of its frames, so they are sent again from copies.
    """
    frames = there_and_back(moving_frames)
    array = np.empty_like(frames[0])

    def filled(frame: np.ndarray) -> np.ndarray:
        array[...] = frame
        return array

    with TritonServer(repository, binary=server_binary) as first:
        port = int(first.url.rpartition(":")[2])
        with Client(first.url) as client, client.stream("lucas_kanade", transport) as stream:
            for frame, here in zip(frames[:22], expected, strict=False):
                require_same(stream.push(filled(frame)), here)
            os.kill(first.pid, signal.SIGKILL)
            waiting = [stream.submit(filled(frame)) for frame in frames[22:26]]
            first.close()
            with TritonServer(repository, binary=server_binary, grpc_port=port):
                for sent, here in zip(waiting, expected[22:], strict=False):
                    require_same(sent.result(), here)
                for frame, here in zip(frames[26:], expected[26:], strict=True):
                    require_same(stream.push(frame), here)
                assert stream.resumed == 1
                assert stream.transport == transport
                assert stream.direct == (transport == "shm")  # as before the loss


@pytest.mark.slow
def test_a_stream_that_idled_too_long_goes_on(
    server_binary: Any, repository: Path, moving_frames: np.ndarray, expected: list[Result],
    tmp_path: Path,
) -> None:  # fmt: skip
    """Also if the server has given its place away meanwhile and gets it back later."""
    import shutil

    models = shutil.copytree(repository, tmp_path / "models")
    (config,) = models.glob("lucas_kanade-*/config.pbtxt")
    text = config.read_text()
    for wanted, small in (("60000000", "1000000"), ('string_value: "64"', 'string_value: "1"')):
        assert wanted in text
        text = text.replace(wanted, small)
    config.write_text(text)
    with (
        TritonServer(models, binary=server_binary) as server,
        Client(server.url) as client,
    ):
        stream = client.stream("lucas_kanade")
        with stream:
            for frame, here in zip(moving_frames[:3], expected, strict=False):
                require_same(stream.push(frame), here)
            time.sleep(2.5)
            require_same(stream.push(moving_frames[3]), expected[3])
            assert stream.resumed == 1
            time.sleep(2.5)
            other = client.stream("lucas_kanade")
            other.push(moving_frames[0])
            sent = stream.submit(moving_frames[4])
            until = time.monotonic() + 1.5
            k = 1
            while time.monotonic() < until:  # the other one keeps the only place
                other.push(moving_frames[k % 12])
                k += 1
                assert not sent.done()
            other.close()
            require_same(sent.result(), expected[4])
            with pytest.raises(ServerBusy):  # a stream that never began is refused at once
                client.stream("lucas_kanade").push(moving_frames[0])


@pytest.mark.slow
def test_a_silent_connection(
    server: TritonServer, moving_frames: np.ndarray, expected: list[Result]
) -> None:
    proxy = Proxy(server.url)
    try:
        with Client(proxy.url, timeout_s=2.0) as client:
            stream = client.stream("lucas_kanade", "grpc", timeout_s=30.0)
            require_same(stream.push(moving_frames[0]), expected[0])
            proxy.fall_silent()
            speak = threading.Timer(9.0, proxy.speak)
            speak.start()
            require_same(stream.push(moving_frames[1]), expected[1])
            speak.join()
            require_same(stream.push(moving_frames[2]), expected[2])
            stream.close()
    finally:
        proxy.close()


def test_a_ring_that_the_server_lost_is_mapped_again(
    client: Client,
    moving_frames: np.ndarray,
    expected: list[Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the call; the process of a model maps the ring by itself."""
    monkeypatch.setattr(Session, "open_direct", lambda self, name: False)
    with client.stream("lucas_kanade", "shm") as stream:
        require_same(stream.push(moving_frames[0]), expected[0])
        client.unregister_memory(stream._resumer.session.link.ring.name)
        for frame, here in zip(moving_frames[1:5], expected[1:], strict=False):
            require_same(stream.push(frame), here)
        assert (stream.resumed, stream.transport) == (1, "shm")


def test_a_stream_that_is_closed_while_it_is_resumed_begins_nothing(
    client: Client, moving_frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "open_direct", lambda self, name: False)
    stream = client.stream("lucas_kanade", "shm")
    stream.push(moving_frames[0])
    client.unregister_memory(stream._resumer.session.link.ring.name)
    settle, begun = Session.settle, []

    def settle_and_close(session: Session, size: tuple[int, ...]) -> None:
        settle(session, size)
        stream._resumer.hang_up()  # as `close` does at its end
        begun.append(session)

    monkeypatch.setattr(Session, "settle", settle_and_close)
    with pytest.raises(StreamClosed):
        stream.push(moving_frames[1])
    stream._reader.join(2.0)
    assert not stream._reader.is_alive()
    assert [session.link.hung_up for session in begun] == [True]
    stream.close()


def test_frames_that_find_no_slot_meanwhile_are_a_gap(
    client: Client, moving_frames: np.ndarray
) -> None:
    with client.stream("lucas_kanade") as stream:
        assert stream.push(moving_frames[0], index=0).gap_frames == 0
        result = stream.push(moving_frames[3], index=3)
        assert (result.previous, result.gap_frames) == (0, 2)
        assert stream.push(moving_frames[4], index=40).re_referenced


def test_another_client_goes_on_from_a_state(
    client: Client, server: TritonServer, moving_frames: np.ndarray, expected: list[Result]
) -> None:
    with client.stream("lucas_kanade", readings=("state",)) as stream:
        results = [stream.push(frame) for frame in moving_frames[:3]]
    assert all(isinstance(result.state, bytes) for result in results)
    with (
        Client(server.url) as other,
        other.stream("lucas_kanade", state=results[1].state) as stream,
    ):
        require_same(stream.push(moving_frames[2]), expected[2])
        assert stream.push(moving_frames[3]).state is None


def test_a_state_that_is_none_is_refused(client: Client, moving_frames: np.ndarray) -> None:
    stream = client.stream("lucas_kanade", state=b"not a state")
    with pytest.raises(CineflowClientError, match="the bytes of a stream's state"):
        stream.push(moving_frames[0])
    stream.close()


def test_a_server_that_does_not_come_back(
    server_binary: Any, repository: Path, moving_frames: np.ndarray
) -> None:
    with (
        TritonServer(repository, binary=server_binary) as server,
        Client(server.url, timeout_s=1.0) as client,
    ):
        ends = client.stream("lucas_kanade", resume_s=1.0)
        closed = client.stream("lucas_kanade")
        for stream in (ends, closed):
            stream.push(moving_frames[0])
        os.kill(server.pid, signal.SIGKILL)
        started = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(push_on, closed, moving_frames[1])
            with pytest.raises((StreamBroken, ServerDied)):
                push_on(ends, moving_frames[1])  # the model's process may compute one more
            assert time.monotonic() - started < 4
            with pytest.raises(StreamBroken):
                ends.push(moving_frames[1])
            started = time.monotonic()
            closed.close()
            assert time.monotonic() - started < 3
            assert isinstance(waiting.exception(timeout=5), (StreamClosed, StreamBroken))
