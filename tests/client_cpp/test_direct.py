"""The direct connection of the C++ client: with a real model's process, and with a broken one."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import Client, ModelUnloaded
from tests.client_cpp.driver import CppClient, Driver
from tests.client_cpp.fixtures import built, driver, frames
from tests.client_cpp.hostile import Hostile
from tests.client_cpp.hostile_direct import HostileDoor, message_of
from tests.client_cpp.spoiled import spoiled_message
from tests.client_cpp.test_models import push_until
from tests.serving.test_restarts import stubs

__all__ = ["driver", "frames"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


def require_same(there: dict[str, np.ndarray], here: Any) -> None:
    np.testing.assert_array_equal(there["flow"], here.flow)
    np.testing.assert_array_equal(there["displacement"], here.displacement)
    assert there["indices"][:2].tolist() == [here.current, here.previous]


@pytest.mark.parametrize("way", ["direct", "refused", "grpc"])
def test_a_stream_goes_direct_after_its_first_frame(
    server: TritonServer, driver: Driver, frames: np.ndarray, way: str
) -> None:
    """Without the connection it stays in the call; the results are the same."""
    if way == "refused":
        driver.ask("direct", "off")
    try:
        stream = CppClient(driver, server.url).stream(
            "lucas_kanade", "grpc" if way == "grpc" else "shm"
        )
        with Client(server.url) as python, python.stream("lucas_kanade", "grpc") as twin:
            for k, frame in enumerate(frames[:20]):
                info = {"index": 2 * k, "beat": k == 5, "time_ms": 1e3 / 3 * k}
                require_same(stream.push(frame, **info), twin.push(frame, **info))
        assert stream.about().direct == str(int(way == "direct"))
        assert stream.ask("fork") == ["0"]
        began = time.monotonic()
        stream.close()
        assert time.monotonic() - began < 2
    finally:
        driver.ask("direct", "on")


def test_a_busy_stream_goes_direct_too(
    server: TritonServer, driver: Driver, frames: np.ndarray
) -> None:
    """Frames wait until those in the call have their results, so that none overtakes another."""
    stream = CppClient(driver, server.url).stream("lucas_kanade", "shm")
    for frame in frames[:4]:
        stream.submit(frame)
    with Client(server.url) as python, python.stream("lucas_kanade", "grpc") as twin:
        for k in range(32):
            came = stream.next(20)
            assert came is not None
            assert came[0] == k
            require_same(came[1], twin.push(frames[k]))
            stream.submit(frames[k + 4], wait_s=20)
    assert stream.about().direct == "1"
    stream.close()


def test_a_model_whose_process_is_killed(
    server_binary: Any, repository: Path, driver: Driver, frames: np.ndarray
) -> None:
    """The stream goes on with its state once the server has loaded the model again."""
    with TritonServer(
        repository, binary=server_binary, models=["lucas_kanade"], restarts=10
    ) as server:
        stream = CppClient(driver, server.url).stream("lucas_kanade", "shm")
        with Client(server.url) as python, python.stream("lucas_kanade", "grpc") as twin:
            expected = [twin.push(frame) for frame in frames[:24]]
        for frame, here in zip(frames[:20], expected, strict=False):
            require_same(stream.push(frame), here)
        assert stream.about().direct == "1"
        os.kill(stubs(server)[0], signal.SIGKILL)
        for frame, here in zip(frames[20:24], expected[20:], strict=True):
            require_same(stream.push(frame), here)
        about = stream.about()
        assert int(about.resumed) >= 1
        assert about.direct == "1"  # also the sequence that went on
        stream.close()


def test_a_model_that_is_unloaded(
    server_binary: Any, repository: Path, driver: Driver, frames: np.ndarray
) -> None:
    with TritonServer(repository, binary=server_binary, models=["lucas_kanade"]) as server:
        client = CppClient(driver, server.url)
        stream = client.stream("lucas_kanade", "shm")
        stream.push(frames[0])
        client.said("unload", "lucas_kanade")
        with pytest.raises(ModelUnloaded):
            push_until(stream, frames[1], lambda: False)
        stream.close()


# --- A broken process -----------------------------------------------------------------------------


@pytest.fixture
def broken() -> Iterator[Hostile]:
    with Hostile() as running:
        running.door = HostileDoor()
        yield running


@pytest.fixture
def sends(broken: Hostile) -> Callable[..., dict[str, float]]:
    """Runs the program `direct`; returns its numbers by their names."""

    def run(scenario: str, count: int) -> dict[str, float]:
        done = subprocess.run(
            [built() / "tests" / "direct", scenario, broken.url, str(count)],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return numbers(done.stdout)

    return run


def numbers(said: str) -> dict[str, float]:
    """Words, each with one number or two."""
    found: dict[str, float] = {}
    name = ""
    for word in said.split():
        try:
            value = float(word)
        except ValueError:
            name = word
        else:
            found[f"{name} then" if name in found else name] = value
    return found


def test_a_good_one(broken: Hostile, sends: Callable[..., dict[str, float]]) -> None:
    """So that the others show something."""
    said = sends("push", 50)
    assert said == {
        "direct": 1,
        "direct then": 1,
        "good": 50,
        "resumed": 0,
        "closed": said["closed"],
    }
    assert said["closed"] < 1
    assert broken.door is not None
    assert (broken.door.frames, broken.door.ended) == (50, 1)


@pytest.mark.parametrize("manner", ["accepts", "greets"])
def test_one_that_takes_nobody(
    broken: Hostile, sends: Callable[..., dict[str, float]], manner: str
) -> None:
    """Frames stay in the call."""
    setattr(broken.door, manner, False)
    said = sends("push", 20)
    assert (said["direct"], said["good"], said["resumed"]) == (0, 20, 0)


SENT: dict[str, bytes | None] = {
    "half a message": None,
    "a header that is too long": struct.pack("<II", 2**20 + 1, 0),
    "no JSON": message_of(b"{"),
    "no object": message_of([]),
    "neither outputs nor an error": message_of({"id": "2"}),
    "an output of other parts": message_of({"id": "2", "outputs": [["flow"]]}),
    "an unknown type": message_of({"id": "2", "outputs": [["flow", "object", [1], False]]}),
    "more than the payload": message_of({"id": "2", "outputs": [["x", "uint8", [9], False]]}, b"1"),
}


@pytest.mark.parametrize("sent", SENT)
def test_what_is_not_a_message_is_a_loss(
    broken: Hostile, sends: Callable[..., dict[str, float]], sent: str
) -> None:
    """The stream goes on in another sequence, with its frame; every time."""
    assert broken.door is not None
    count = iter(range(1000))

    def spoil(message: bytes) -> bytes | None:
        if next(count) != 2:
            return message
        return SENT[sent]

    broken.door.spoil = spoil
    said = sends("push", 8)
    assert (said["good"], said["resumed"], said["direct then"]) == (8, 1, 1)
    assert said["closed"] < 1


def test_a_result_of_another_form_is_refused(
    broken: Hostile, sends: Callable[..., dict[str, float]]
) -> None:
    """In the ring and in the message; the stream goes on."""
    assert broken.door is not None
    wrong = iter([
        ["flow", "float32", [2, 2**20, 2**20], True],
        ["flow", "float16", [2, 64, 80], True],
        ["indices", "int64", [7], True],  # it has no part
        ["state", "uint8", [0, 2**50, 2**50], True],
    ])  # fmt: skip

    def spoil(message: bytes) -> bytes:
        output = next(wrong, None)
        return message if output is None else message_of({"id": of(message), "outputs": [output]})

    broken.door.spoil = spoil
    said = sends("push", 10)
    assert (said["good"], said["ServerRefused"], said["resumed"]) == (6, 4, 0)


@pytest.mark.parametrize(
    "lie", [[2**50, True], [-1, True], [4, False], ["5", False], [5], 5], ids=repr
)
def test_a_state_of_another_form_loses_the_connection(
    broken: Hostile, sends: Callable[..., dict[str, float]], lie: Any
) -> None:
    """The stream goes on in another sequence, from its start, with every frame."""
    assert broken.door is not None
    lies = iter([lie])

    def spoil(message: bytes) -> bytes:
        if b'"state": [' not in message or (said := next(lies, None)) is None:
            return message
        return message_of({"id": of(message), "state": said}, b"state")

    broken.door.spoil = spoil
    said = sends("push", 40)
    assert next(lies, None) is None
    assert (said["good"], said["resumed"], said["direct then"]) == (40, 1, 1)


def of(message: bytes) -> str:
    """The id in a message."""
    return message[8:].split(b'"id": "')[1].split(b'"')[0].decode()


def test_a_silent_one_ends_the_stream_in_time(
    broken: Hostile, sends: Callable[..., dict[str, float]]
) -> None:
    assert broken.door is not None
    broken.door.spoil = lambda message: b""
    said = sends("push", 1)
    assert (said["good"], said["StreamTimeout"]) == (0, 1)
    assert said["closed"] < 3


def test_one_that_is_unloaded(broken: Hostile, sends: Callable[..., dict[str, float]]) -> None:
    """Frames without a response go by the call, and so do all that follow."""
    assert broken.door is not None
    door = broken.door

    def spoil(message: bytes) -> bytes:
        return message_of({"bye": True}) if door.frames == 5 else message

    door.spoil = spoil
    said = sends("push", 10)
    assert (said["direct"], said["direct then"], said["good"], said["resumed"]) == (1, 0, 10, 0)


def test_a_full_socket_keeps_no_sender(
    broken: Hostile, sends: Callable[..., dict[str, float]]
) -> None:
    """Its process does not read for two seconds; 600 frames leave, and each has its result."""
    assert broken.door is not None
    broken.door.reads.clear()
    reads = threading.Timer(2.0, broken.door.reads.set)
    reads.start()
    said = sends("full", 600)
    assert (said["direct"], said["sent"], said["good"], said["ordered"]) == (1, 600, 600, 1)
    assert said["longest_ms"] < 1000
    reads.join()


def test_whatever_it_sends(broken: Hostile) -> None:
    """Wrong sizes, types, names, cut messages and silence, to the whole client."""
    assert broken.door is not None
    draw = random.Random(0)
    broken.door.spoil = lambda message: (
        message if draw.random() < 0.5 else spoiled_message(message, draw)
    )
    done = subprocess.run(
        [built() / "tests" / "ends", "results", broken.url, "ring"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = numbers(done.stdout)
    assert said["good"] > 10
    assert said["bad"] > 10
    assert broken.door.frames > 50
