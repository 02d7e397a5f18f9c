"""The client against the real server: both transports, and everything that can go wrong."""

from __future__ import annotations

import errno
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cineflow_client.session
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.serving import TritonServer
from cineflow_client import (
    Cause,
    CineflowClientError,
    Client,
    FrameRejected,
    ModelNotFound,
    Rhythm,
    ServerBusy,
    ServerDied,
    ServerUnavailable,
    SharedMemoryUnavailable,
    StreamBusy,
    StreamClosed,
    StreamExpired,
    StreamTimeout,
)
from cineflow_client.session import Session
from cineflow_client.wire import frame_request
from tests.client.test_policies import Stopped


@pytest.fixture
def client(server):
    with Client(server.url) as opened:
        yield opened
        assert rings() == []


def rings(pid: int | None = None) -> list[str]:
    """Names of shared-memory rings that a process of this test left in /dev/shm."""
    owner = re.compile(rf"cineflow-\d+-{os.getpid() if pid is None else pid}-")
    return [name for name in os.listdir("/dev/shm") if owner.match(name)]


def push_on(stream, frame):
    while True:
        stream.push(frame)


def mapped(client: Client, pid: int) -> list[str]:
    """Names of the regions of process `pid` that the server has mapped."""
    return [name for name in client.mapped_regions() if f"-{pid}-" in name]


@pytest.fixture(scope="module")
def in_process(moving_frames):
    bundle = Bundle.load("lucas_kanade")
    stream = Stream(open_engine(bundle), bundle.spec)
    return [stream.push(frame) for frame in moving_frames]


@pytest.mark.parametrize("way", ["grpc", "shm", "shm, no direct connection"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_results_are_those_of_a_stream_in_process(
    client, moving_frames, in_process, monkeypatch, way, dtype
):
    transport = way.partition(",")[0]
    if transport != way:  # a model on a card, for example
        monkeypatch.setattr(Session, "open_direct", lambda self, name: False)
    with client.stream("lucas_kanade", transport) as stream:
        results = [stream.push(frame.astype(dtype)) for frame in moving_frames]
        assert stream.transport == transport
        assert stream.direct == (way == "shm")
        assert rings() == []  # the memory is in use, but no longer has a name
    for got, expected in zip(results, in_process, strict=True):
        np.testing.assert_array_equal(got.flow, expected.flow)
        np.testing.assert_array_equal(got.displacement, expected.displacement)
        assert got.quality == pytest.approx(expected.quality, abs=1e-6)
        for name, value in vars(got.quality_parts).items():
            wanted = getattr(expected.quality_parts, name)
            assert value is wanted is None or value == pytest.approx(wanted, rel=1e-5), name
        assert vars(got.beat_info) == vars(expected.beat_info)
        assert (got.previous, got.current, got.reference) == (
            expected.previous,
            expected.current,
            expected.reference,
        )
        assert 0 < got.latency_ms < 10_000


def test_shared_memory_is_the_first_choice_on_one_machine(client, moving_frames):
    with client.stream("lucas_kanade") as stream:
        stream.push(moving_frames[0])
        assert (stream.transport, stream.transport_reason) == ("shm", "")


@pytest.mark.parametrize("transport", ["grpc", "shm"])
def test_an_exact_copy_of_the_last_frame_is_marked(client, moving_frames, transport):
    one, other = moving_frames[:2]
    nearly = one.copy()
    nearly[5, 7] ^= 1
    frames = [one, one, one.astype(np.float32), nearly, one, other, other]
    with client.stream("lucas_kanade", transport) as stream:
        results = [stream.push(frame) for frame in frames]
    assert [result.repeat for result in results] == [False, True, True, False, False, False, True]
    assert results[1].quality == pytest.approx(1.0, abs=1e-4)  # why the mark is needed
    assert not results[1].flow.any()


def test_beats_and_dropped_frames(client, moving_frames):
    with client.stream("lucas_kanade") as stream:
        stream.push(moving_frames[0], index=5)
        renewed = stream.push(moving_frames[2], index=7, beat=True)
        assert (renewed.previous, renewed.reference, renewed.beat) == (5, 7, 1)
        assert not renewed.displacement.any()
        assert renewed.beat_info.cause is Cause.TRIGGER
        late = stream.push(moving_frames[3], beat=False)
        assert (late.reference, late.beat_info.delay_frames) == (7, 0)


def test_times_travel_and_are_checked(client, moving_frames):
    with client.stream("lucas_kanade") as stream:
        for k, time_ms in enumerate((0.0, 900.0, 1000.0)):
            result = stream.push(moving_frames[k], beat=True, time_ms=time_ms)
        assert result.beat_info.rhythm is Rhythm.EARLY  # 600 beats per minute
        with pytest.raises(FrameRejected, match="above 1000 ms"):
            stream.push(moving_frames[3], time_ms=1000.0)
        assert stream.push(moving_frames[3], time_ms=1030.0).previous == 2


def test_frames_in_flight_keep_their_order(client, moving_frames, in_process):
    with client.stream("lucas_kanade", slots=3) as stream:
        pending = [stream.submit(frame, wait_s=5) for frame in moving_frames]
        results = [item.result() for item in pending]
    assert [result.current for result in results] == list(range(len(moving_frames)))
    np.testing.assert_array_equal(results[-1].displacement, in_process[-1].displacement)


def test_a_full_stream_refuses_instead_of_queueing(client, moving_frames):
    large = np.tile(moving_frames[0], (4, 4))
    with client.stream("lucas_kanade", slots=2) as stream:
        pending = [stream.submit(large), stream.submit(large)]
        with pytest.raises(StreamBusy, match="2 frames in flight"):
            stream.submit(large)
        for item in pending:
            item.result()
        assert stream.push(large).current == 2  # the refused frame was never sent


# -- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_threads_that_push_into_a_fresh_stream(client, moving_frames, transport, monkeypatch):
    """One of the frames begins the sequence, whichever comes first, and none is lost."""

    def written_slowly(*arguments, start):
        time.sleep(
            0.01 if start else 0.0
        )  # as a large first frame is: the others could overtake it
        return frame_request(*arguments, start=start)

    monkeypatch.setattr(cineflow_client.session, "frame_request", written_slowly)
    threads, frames = 6, 2
    for _ in range(15):
        with (
            client.stream("lucas_kanade", transport, slots=threads) as stream,
            ThreadPoolExecutor(threads) as pool,
        ):
            together = threading.Barrier(threads)

            def push(number, stream=stream, together=together):
                together.wait()
                return [stream.push(moving_frames[(number + k) % 3]) for k in range(frames)]

            results = [one for some in pool.map(push, range(threads)) for one in some]
        results.sort(key=lambda one: one.current)
        assert [one.current for one in results] == list(range(threads * frames))
        assert [one.previous for one in results] == [0, *range(threads * frames - 1)]
        assert {one.reference for one in results} == {0}


def test_a_thread_waits_for_its_turn_as_long_as_it_says(client, moving_frames):
    """Whoever waits for a slot has the turn; others must not wait longer than they asked."""
    with client.stream("lucas_kanade") as stream:
        with stream._sending:  # as another thread that waits for a slot holds it
            for wait_s in (0.0, -1.0, 0.01):
                with pytest.raises(StreamBusy, match="a turn to send"):
                    stream.submit(moving_frames[0], wait_s=wait_s)
        # None of them was sent.
        assert stream.submit(moving_frames[0], wait_s=math.inf).result().current == 0


def test_a_stream_that_is_closed_while_threads_push(client, moving_frames):
    for _ in range(5):
        stream = client.stream("lucas_kanade", slots=2)

        def push(stream=stream):
            while True:
                stream.push(moving_frames[0])

        with ThreadPoolExecutor(3) as pool:
            pushing = [pool.submit(push) for _ in range(3)]
            time.sleep(0.1)
            stream.close()
            for one in pushing:
                assert isinstance(one.exception(timeout=10), StreamClosed)


def test_what_the_server_says_about_a_model(client, server):
    model = client.model("lucas_kanade")
    assert not model.untrained, "it has nothing to train"
    assert model.served_name.startswith("lucas_kanade-")
    assert model.spec["outputs"][0]["unit"] == "px"
    assert model.spec["outputs"][0]["tolerance"] > 0
    assert client.model(model.served_name).spec == model.spec
    assert client.models()[model.served_name] == "READY"
    assert client.is_ready()
    assert client.server_version() == server.version


BAD_FRAMES = {
    "as the stream's frames before": lambda frame: frame[:64],
    "first at x 3, y 2": lambda frame: with_value(frame, np.nan),
    "infinite": lambda frame: with_value(frame, -np.inf),
    "got float64": lambda frame: frame.astype(float),
    "a grey frame": lambda frame: np.stack([frame] * 3, axis=-1),
}


def with_value(frame, value):
    frame = frame.astype(np.float32)
    frame[2, 3] = value
    return frame


@pytest.mark.parametrize("reason", BAD_FRAMES)
def test_a_bad_frame_is_refused_and_the_stream_goes_on(client, moving_frames, reason):
    with client.stream("lucas_kanade") as stream:
        stream.push(moving_frames[0])
        with pytest.raises(FrameRejected, match=reason):
            stream.push(BAD_FRAMES[reason](moving_frames[1]))
        assert stream.push(moving_frames[1]).previous == 0


def test_the_server_has_the_last_word_on_a_frame(client, moving_frames):
    with client.stream("lucas_kanade") as stream:
        stream.push(moving_frames[0], index=4)
        with pytest.raises(FrameRejected, match="above 4") as error:
            stream.push(moving_frames[1], index=4)
        assert error.value.got == "4"
        assert stream.push(moving_frames[1]).previous == 4


def test_a_size_that_the_model_does_not_take(client):
    with client.stream("lucas_kanade") as stream, pytest.raises(FrameRejected, match="by 16"):
        stream.push(np.zeros((40, 160), np.uint8))


def test_no_such_model(client):
    with pytest.raises(ModelNotFound, match="'no_such_model'"):
        client.stream("no_such_model")


@pytest.mark.parametrize("url", ["127.0.0.1:1", "127.0.0.1:9", "no-model-host.invalid:8001"])
def test_no_server(url):
    with Client(url, timeout_s=5) as client:
        assert not client.is_ready()
        with pytest.raises(ServerUnavailable, match=url):
            client.stream("lucas_kanade")


@pytest.mark.parametrize(
    "url", ["", "localhost", ":8001", "http://127.0.0.1:8001", "127.0.0.1:0", "127.0.0.1:73537"]
)
def test_an_invalid_address(url):
    """gRPC would take port 73537 for 8001, where another server may listen."""
    with pytest.raises(ServerUnavailable, match="host:port") as error:
        Client(url)
    assert "127.0.0.1:8001" in error.value.remedy


@pytest.mark.parametrize("make", [{"transport": "pigeon"}, {"slots": 0}])
def test_a_stream_that_cannot_be(client, make):
    with pytest.raises(CineflowClientError):
        client.stream("lucas_kanade", **make)


def test_a_closed_stream_and_a_closed_client(client, server, moving_frames):
    stream = client.stream("lucas_kanade")
    stream.push(moving_frames[0])
    stream.close()
    stream.close()
    with pytest.raises(StreamClosed):
        stream.push(moving_frames[1])
    other = Client(server.url)
    other.close()
    with pytest.raises(StreamClosed):
        other.models()


# -- shared memory that is not available ---------------------------------------------------------


def test_a_server_that_cannot_map_our_memory(client):
    with pytest.raises(SharedMemoryUnavailable, match="map this machine's"):
        client.register_memory("cineflow-does-not-exist", 4096)


@pytest.fixture(params=["refused", "full"])
def no_shared_memory(request, monkeypatch):
    """A server on another machine, or a full /dev/shm."""
    if request.param == "refused":
        real = Client.register_memory
        monkeypatch.setattr(
            Client, "register_memory", lambda self, name, size: real(self, "elsewhere", size)
        )
    else:

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", full)


def test_auto_falls_back_to_grpc_and_says_why(client, moving_frames, no_shared_memory):
    with client.stream("lucas_kanade", "auto") as stream:
        assert stream.push(moving_frames[0]).current == 0
        assert stream.transport == "grpc"
        assert "wanted" in stream.transport_reason


def test_shm_asked_for_by_name_fails_plainly(client, moving_frames, no_shared_memory):
    with client.stream("lucas_kanade", "shm", slots=1) as stream:
        sent = stream.submit(moving_frames[0])
        with pytest.raises(SharedMemoryUnavailable):
            sent.result()
        for send in (stream.submit, stream.push):  # nobody waits for a slot of it
            with pytest.raises(SharedMemoryUnavailable):
                send(moving_frames[0])
        assert rings() == []


# -- servers that die, hang or drop a stream -----------------------------------------------------


@pytest.mark.parametrize("transport", [pytest.param("grpc", marks=pytest.mark.slow), "shm"])
def test_the_server_dies_under_a_stream(
    server_binary, repository, moving_frames, left_behind, transport
):
    with TritonServer(repository, binary=server_binary) as server, Client(server.url) as client:
        with client.stream("lucas_kanade", transport, resume_s=0) as stream:
            stream.push(moving_frames[0])
            os.kill(server.pid, signal.SIGKILL)
            started = time.monotonic()
            # Either the call or the direct connection is the first to say so.
            with pytest.raises(ServerDied, match=r"live connection|process runs"):
                push_on(stream, moving_frames[1])  # the model's process may compute one more
            assert time.monotonic() - started < 5
            with pytest.raises(ServerDied):
                stream.push(moving_frames[1])
        with pytest.raises(ServerUnavailable):
            client.stream("lucas_kanade")
    assert left_behind(server.name) == []
    assert rings() == []


def test_a_server_that_hangs(server_binary, repository, moving_frames):
    with TritonServer(repository, binary=server_binary) as server, Client(server.url) as client:
        stream = client.stream("lucas_kanade", timeout_s=0.5)
        stream.push(moving_frames[0])
        with Stopped(server):
            with pytest.raises(StreamTimeout, match=r"within 0\.5 s"):
                stream.push(moving_frames[1])
            client.timeout_s = 0.5
            started = time.monotonic()
            stream.close()
            assert time.monotonic() - started < 3


def test_a_stream_that_idled_too_long(small_server, moving_frames):
    with (
        Client(small_server.url) as client,
        client.stream("lucas_kanade", resume_s=0) as stream,
    ):
        assert stream.model.idle_timeout_s == 1.0
        stream.push(moving_frames[0])
        time.sleep(2.5)
        with pytest.raises(StreamExpired, match="idle for"):
            stream.push(moving_frames[1])
        with pytest.raises(StreamExpired):
            stream.push(moving_frames[2])


@pytest.mark.slow  # it waits for the time-out; test_direct.py has the two ends
def test_nothing_is_kept_for_a_stream_that_idled_too_long(small_server, moving_frames):
    """Its connection to the model's process ends without a word of its client's."""
    with Client(small_server.url) as client, client.stream("lucas_kanade") as stream:
        stream.push(moving_frames[0])
        assert stream.direct
        connection = stream._resumer.session.link.direct._socket
        connection.settimeout(10)
        assert b'{"bye": true}' in connection.recv(64, socket.MSG_PEEK)
        connection.settimeout(None)
        assert stream.push(moving_frames[1]).previous == 0  # it goes on by itself
        assert stream.resumed == 1


def test_a_stream_without_a_place_is_refused_at_once(small_server, moving_frames):
    with Client(small_server.url) as client:
        busy = [client.stream("lucas_kanade") for _ in range(2)]
        for stream in busy:
            stream.push(moving_frames[0])
        for _ in range(3):
            third = client.stream("lucas_kanade")
            with pytest.raises(ServerBusy, match="free place among the 2"):
                third.push(moving_frames[0])
            with pytest.raises(ServerBusy):
                third.push(moving_frames[0])
            for stream in busy:
                assert stream.push(moving_frames[1]).reference == 0
        busy[0].close()
        with client.stream("lucas_kanade") as another:
            assert another.push(moving_frames[0]).current == 0


# -- programs that end in the middle -------------------------------------------------------------

PROGRAM = """
import sys, time
import numpy as np
from cineflow_client import Client
client = Client(sys.argv[1])
stream = client.stream("lucas_kanade", "shm")
stream.push(np.zeros((128, 160), np.uint8))
print("streaming", flush=True)
{then}
"""


@pytest.mark.parametrize(
    ("then", "ending"),
    [
        ("time.sleep(60)", signal.SIGINT),
        ("time.sleep(60)", signal.SIGKILL),
        ("raise RuntimeError('failure')", None),
        ("", None),  # forgets to close
    ],
    ids=["ctrl-c", "killed", "failed", "forgetful"],
)
def test_a_program_that_ends_mid_stream_leaves_no_memory(server, then, ending):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(then=then), server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout.readline() == "streaming\n"
    if ending is not None:
        program.send_signal(ending)
    program.communicate(timeout=15)
    assert rings(program.pid) == []
    with Client(server.url) as client, client.stream("lucas_kanade", "shm") as stream:
        if ending == signal.SIGKILL:  # the server learns it from the next stream
            assert mapped(client, program.pid)
        stream.push(np.zeros((128, 160), np.uint8))
        assert mapped(client, os.getpid())
        assert not mapped(client, program.pid)
