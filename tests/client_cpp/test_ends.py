"""How streams of the C++ client end, with servers that break off, hang or lie (`ends.cpp`)."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client_cpp.fixtures import built
from tests.client_cpp.hostile import Hostile, axis
from tests.client_cpp.spoiled import spoiled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile() as running:
        yield running


@pytest.fixture(scope="module")
def program() -> Path:
    return built() / "tests" / "ends"


@pytest.fixture
def ends(server: Hostile, program: Path) -> Callable[..., str]:
    """Runs a scenario; returns what it prints."""

    def run(scenario: str, *arguments: str, meanwhile: Callable[[], None] | None = None) -> str:
        running = subprocess.Popen(
            [program, scenario, server.url, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            if meanwhile is not None:
                meanwhile()
            said, wrong = running.communicate(timeout=120)
        finally:
            running.kill()
        assert running.returncode == 0, said + wrong
        assert not memory_of(running.pid)
        return said.strip()

    return run


def memory_of(process: int) -> list[str]:
    return [one.name for one in Path("/dev/shm").iterdir() if f"-{process}-" in one.name]


def numbers(said: str) -> list[float]:
    return [float(word) for word in said.split()[1:]]


def test_many_threads_while_the_server_breaks_off(
    server: Hostile, ends: Callable[..., str]
) -> None:
    """Three senders, one that asks and two that close, with and without ring and resume."""
    server.breaks_after = 7
    (streams,) = numbers(ends("race", "6"))
    assert streams > 10


def test_a_stream_is_closed_while_it_is_resumed(server: Hostile, ends: Callable[..., str]) -> None:
    """The session that begins meanwhile ends with the stream; nobody waits for it."""
    server.breaks_after = 1
    server.pause_s = 1.5

    def go_on() -> None:
        wait_for(server, "ModelReady")
        server.breaks_after = None

    (closed_s,) = numbers(ends("close", meanwhile=go_on))
    assert closed_s < 3


@pytest.mark.parametrize("method", ["ModelReady", "Register", "Unregister", "ModelInfer"])
def test_close_is_bounded(server: Hostile, ends: Callable[..., str], method: str) -> None:
    """By 3 s, whatever the server does not answer while the stream is resumed or ends."""
    server.breaks_after = 1

    def fall_silent() -> None:
        wait_for(server, "Status")
        server.silent_about = (method,)

    (closed_s,) = numbers(ends("close", "ring", meanwhile=fall_silent))
    assert closed_s < 3.5


def test_a_second_close_waits_for_the_first(server: Hostile, ends: Callable[..., str]) -> None:
    """And a client closes its streams at the same time, with a server that says nothing."""
    server.silent = True
    server.silent_about = ("Unregister",)
    first_s, second_s, client_s = numbers(ends("close_twice"))
    assert 1.8 < first_s < 3.5
    assert second_s > first_s - 0.5
    assert client_s < 4.5  # one after the other, they would take 12 s


def test_next_returns_when_the_stream_ends(ends: Callable[..., str]) -> None:
    _, there, took_s, why = ends("next").split()
    assert (there, why) == ("0", "StreamClosed")
    assert float(took_s) < 5


def test_every_dropped_frame_is_told(server: Hostile, ends: Callable[..., str]) -> None:
    """Once, by a thread of the stream, also while it closes; and `wait` finds each."""
    server.silent = True
    assert ends("drops") == f"told 40 once 1 own_thread 0 waited {4 * 39 + 4 * 9}"


def test_push_refuses_a_callback_before_it_sends(ends: Callable[..., str]) -> None:
    assert ends("push") == "told 0 CineflowClientError: a stream without on_outcome"


@pytest.mark.parametrize(
    ("multiples", "said"),
    [
        ((1253, 507657321014656), "a width of"),  # 29 buffers of such frames wrap to 64 bytes
        ((2**21, 16), "a height of"),
    ],
)
def test_frames_of_absurd_sizes(
    server: Hostile, ends: Callable[..., str], multiples: tuple[int, int], said: str
) -> None:
    server.height = axis("height", 1, 8 * 10**15, multiples[0])
    server.width = axis("width", 1, 8 * 10**15, multiples[1])
    with pytest.raises(AssertionError, match=said):
        ends("fill")


CHANGES: dict[str, tuple[str, list[int], bytes]] = {
    "flow": ("FP16", [2, 64, 80], bytes(2 * 64 * 80 * 2)),
    "displacement": ("UINT8", [1], b"x"),
    "points": ("FP32", [3, 3], bytes(36)),
    "score": ("FP64", [1], bytes(8)),
    "labels": ("UINT8", [1, 15, 20], bytes(300)),
    "state": ("FP32", [0, 2**61, 2**61], b""),
    "beat_info": ("FP64", [5], bytes(24) + b"\0\0\0\0\0\0\x20\x40" + bytes(8)),  # a rhythm of 8
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_reading_of_another_form(server: Hostile, ends: Callable[..., str], name: str) -> None:
    """Is refused by the form that the spec and the header promise."""

    def change(response: Any) -> Any:
        inferred = response.infer_response
        for position, output in enumerate(inferred.outputs):
            if output.name == name:
                datatype, shape, raw = CHANGES[name]
                output.CopyFrom(type(output)(name=name, datatype=datatype, shape=shape))
                inferred.raw_output_contents[position] = raw
        return response

    server.spoil = change
    said = ends("result")
    assert said.startswith("ServerRefused: ")
    assert "good 0 bad 1" in said


@pytest.mark.parametrize("transport", ["grpc", "ring"])
def test_whatever_the_server_sends(
    server: Hostile, ends: Callable[..., str], transport: str
) -> None:
    """Wrong sizes, types, names and cut messages, to the whole client."""
    draw = random.Random(0)
    server.spoil = lambda response: spoiled(response, draw)
    said = dict(zip(*[iter(ends("results", transport).split())] * 2, strict=True))
    assert int(said["good"]) > 10
    assert int(said["bad"]) > 10


def test_a_server_that_stops_and_never_ends_the_sequence(
    server: Hostile, ends: Callable[..., str]
) -> None:
    """The stream goes on at the next one."""

    def stop() -> None:
        wait_for(server, "ModelInfer")
        time.sleep(0.3)
        server.stops = True
        time.sleep(2)
        server.stops = False

    assert ends("stops", meanwhile=stop) == "went on"


def test_children_find_no_locked_door(ends: Callable[..., str]) -> None:
    """Forked while other threads hold the stream's locks."""
    assert ends("forks", "60") == "forks 60 wrong 0"


def test_without_random_numbers_there_is_no_stream(ends: Callable[..., str]) -> None:
    said = ends("random")
    assert said.count("CineflowClientError random numbers from the system") == 2


def wait_for(server: Hostile, method: str) -> None:
    """Until a method was called, by the end of its path."""
    end = time.monotonic() + 60
    while not any(method in name for name in dict(server.seen)):
        assert time.monotonic() < end
        time.sleep(0.02)
