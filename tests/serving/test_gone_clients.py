"""The places of clients that are gone are free at once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow.serving.streams import StreamTable
from cineflow.serving.watches import Watches
from cineflow_client import Client, ServerBusy, StreamBroken
from tests.client.test_half_open import Proxy

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)

#: Opens a stream, sends one frame and says so.
PROGRAM = """
import sys, time
import numpy as np
from cineflow_client import Client
client = Client(sys.argv[1])
stream = client.stream("lucas_kanade", sys.argv[2])
stream.push(np.full((64, 80), 9, np.uint8))
print("live", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def narrow(
    server_binary: Any, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """A server with one place."""
    models = shutil.copytree(repository, tmp_path_factory.mktemp("narrow") / "models")
    (config,) = models.glob("lucas_kanade-*/config.pbtxt")
    text, count = re.subn(
        r'(key: "places"\s+value \{\s+string_value: )"64"', r'\1"1"', config.read_text()
    )
    assert count == 1
    config.write_text(text)
    with TritonServer(models, binary=server_binary) as running:
        yield running


def seconds_until_a_place_is_free(client: Client) -> float:
    start = time.monotonic()
    while time.monotonic() < start + 30:
        with client.stream("lucas_kanade") as stream:
            try:
                assert stream.push(FRAME).current == 0
            except ServerBusy:
                time.sleep(0.05)
            else:
                return time.monotonic() - start
    raise AssertionError("no place within 30 s")


class Sender:
    """Stands for Triton's sender, which exists only in the server."""

    def __init__(self) -> None:
        self.cancelled = self.finished = False

    def is_cancelled(self) -> bool:
        return self.cancelled


def finish(sender: Any) -> None:
    assert not sender.finished
    sender.finished = True


def test_a_watch_ends_with_its_stream() -> None:
    """Triton does not unload a model while a watch is open."""
    now, stopping, told = [0.0], [False], []
    table = StreamTable(10, 9, clock=lambda: now[0], tell=lambda event, _: told.append(event))
    watches = Watches(table, finish, lambda: stopping[0])
    watches.close()  # the test looks itself
    senders = [Sender() for _ in range(6)]
    early, _, gone, idle, stopped, _ = senders
    for sequence, sender in enumerate(senders):
        watches.add(sequence, sender)
    watches.check()
    assert not any(sender.finished for sender in senders)  # their streams may start yet
    for sequence in (1, 2, 3, 4):
        table.begin(sequence, object())  # type: ignore[arg-type]
    watches.check()
    table.end(1)
    gone.cancelled = True
    watches.add(5, Sender())
    watches.check()
    assert [sender.finished for sender in senders] == [False, True, True, False, False, True]
    assert 2 not in table
    now[0] = 9.0
    table.get(4)
    now[0] = 11.0
    watches.check()
    assert idle.finished
    assert not stopped.finished
    stopping[0] = True
    watches.check()
    assert stopped.finished
    assert early.finished
    assert told == ["started"] * 4 + ["ended", "gone", "expired"]


@pytest.mark.parametrize("transport", [pytest.param("shm", marks=pytest.mark.slow), "grpc"])
def test_a_killed_client_gives_its_place_back(narrow: TritonServer, transport: str) -> None:
    command = [sys.executable, "-c", PROGRAM, narrow.url, transport]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "live\n"
    with Client(narrow.url) as client:
        with client.stream("lucas_kanade") as refused, pytest.raises(ServerBusy):
            refused.push(FRAME)
        program.kill()
        program.communicate()
        assert seconds_until_a_place_is_free(client) < 5.0  # 0.1 s on an idle machine


def test_a_closed_client_gives_its_place_back(narrow: TritonServer) -> None:
    with Client(narrow.url) as other:
        broken = other.stream("lucas_kanade", resume_s=0)
        broken.push(FRAME)
        # The connection stays, the stream's call ends without an END.
        broken._resumer.session.link.hang_up()
        with pytest.raises(StreamBroken):
            broken.push(FRAME)
        with Client(narrow.url) as client:
            assert seconds_until_a_place_is_free(client) < 5.0


@pytest.mark.slow
def test_a_client_behind_a_dead_cable_gives_its_place_back(narrow: TritonServer) -> None:
    """Nobody tells the server: it pings."""
    proxy = Proxy(narrow.url)
    with Client(proxy.url) as lost, Client(narrow.url) as client:
        stream = lost.stream("lucas_kanade", "grpc")
        stream.push(FRAME)
        proxy.fall_silent()
        assert seconds_until_a_place_is_free(client) < 25.0
    proxy.close()


def test_a_stream_that_lives_keeps_its_place(narrow: TritonServer) -> None:
    with Client(narrow.url) as client, client.stream("lucas_kanade") as live:
        live.push(FRAME)
        for _ in range(4):
            time.sleep(0.4)
            with client.stream("lucas_kanade") as refused, pytest.raises(ServerBusy):
                refused.push(FRAME)
        assert live.push(FRAME).current == 1
