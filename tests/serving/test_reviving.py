"""One model's process dies: it is loaded again, and the streams of other models notice nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.export import write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from cineflow.serving.plan import PULSE
from cineflow.serving.reviving import MOST_REVIVALS
from cineflow_client import CineflowClientError, Client

FRAMES = np.random.default_rng(0).integers(0, 256, (8, 64, 80)).astype(np.uint8)
DEFAULT = Bundle.load("lucas_kanade")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def two_models(
    server_binary: Any,
    other_bundle: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
    left_behind: Any,
) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("two") / "models"
    both = {"lucas_kanade": DEFAULT, "other": other_bundle}
    write_repository([DEFAULT, other_bundle], folder, aliases=both)
    with TritonServer(folder, binary=server_binary, models=[*both], restarts=9) as running:
        yield running
    assert left_behind(running.name) == []


def process_of(server: TritonServer, model: str) -> int:
    for path in server._belongings().files.vitals.iterdir():
        if path.read_bytes()[PULSE.size :].decode() == model:
            return int(path.name)
    raise AssertionError(f"no process of {model}")


def test_the_streams_of_other_models_live_on(
    two_models: TritonServer, other_bundle: Bundle
) -> None:
    with (
        Client(two_models.url) as client,
        client.stream("other", resume_s=0) as bystander,
        client.stream("lucas_kanade") as victim,
    ):
        pid = two_models.pid
        bystander.push(FRAMES[0])
        victim.push(FRAMES[0])
        dead = process_of(two_models, DEFAULT.served_name)
        os.kill(dead, signal.SIGKILL)
        pushed = threading.Thread(target=lambda: victim.push(FRAMES[1]))
        pushed.start()
        sent = 0
        while pushed.is_alive() or sent < 3:  # meanwhile
            sent += 1
            assert bystander.push(FRAMES[sent % 8]).previous == sent - 1
        pushed.join()
        assert victim.push(FRAMES[2]).previous == 1  # it went on with its state
        assert (victim.resumed, bystander.resumed) == (1, 0)
        assert client.is_ready()
    assert (two_models.restarts, two_models.reloads, two_models.pid) == (0, 1, pid)
    assert two_models.restart_reason == f"The process of {DEFAULT.served_name} ({dead}) has ended"
    assert "Its model is loaded again" in two_models.log_tail(1000)
    assert process_of(two_models, DEFAULT.served_name) != dead


@pytest.mark.slow
def test_a_process_that_stands_still_is_replaced(two_models: TritonServer) -> None:
    with Client(two_models.url) as client, client.stream("other", resume_s=0) as bystander:
        bystander.push(FRAMES[0])
        before = two_models.reloads
        os.kill(process_of(two_models, DEFAULT.served_name), signal.SIGSTOP)
        until(lambda: two_models.reloads > before)
        assert "is stopped" in two_models.restart_reason
        until(lambda: computes(client))
        assert bystander.push(FRAMES[1]).previous == 0
    assert two_models.restarts == 0


def computes(client: Client) -> bool:
    try:
        with client.stream("lucas_kanade", resume_s=0) as stream:
            return stream.push(FRAMES[0]).current == 0
    except CineflowClientError:
        return False


@pytest.mark.slow
def test_what_dead_instances_leave_does_not_pile_up(
    server_binary: Any, other_bundle: Bundle, tmp_path: Path, left_behind: Any
) -> None:
    """Triton keeps something of them, so the server itself is started again after some."""
    both = {"lucas_kanade": DEFAULT, "other": other_bundle}
    write_repository([DEFAULT, other_bundle], tmp_path / "models", aliases=both)

    def threads(server: TritonServer) -> int:
        return len(list(Path(f"/proc/{server.pid}/task").iterdir()))

    with (
        TritonServer(
            tmp_path / "models", binary=server_binary, models=[*both], restarts=99
        ) as server,
        Client(server.url) as client,
    ):
        until(lambda: computes(client))
        at_first, most = threads(server), 0
        for count in range(MOST_REVIVALS + 1):
            os.kill(process_of(server, DEFAULT.served_name), signal.SIGKILL)
            until(lambda count=count: server.reloads + server.restarts > count)
            until(lambda: computes(client))
            most = max(most, threads(server))
        assert (server.reloads, server.restarts) == (MOST_REVIVALS, 1)
        assert most < at_first + 40 * (MOST_REVIVALS + 1)
        assert threads(server) < at_first + 20
    assert left_behind(server.name) == []


@pytest.mark.slow
def test_frames_that_nobody_would_answer_restart_the_server(two_models: TritonServer) -> None:
    """Of several streams at once, Triton owes them a response that it never gives."""
    large = np.random.default_rng(0).integers(0, 256, (2, 768, 768)).astype(np.uint8)
    before = two_models.restarts
    with (
        Client(two_models.url) as client,
        client.stream("lucas_kanade", "grpc") as one,
        client.stream("lucas_kanade", "grpc") as two,
    ):
        for stream in (one, two):
            stream.push(large[0])
        sent = [stream.submit(large[1]) for stream in (one, two, one, two)]
        time.sleep(0.05)
        os.kill(process_of(two_models, DEFAULT.served_name), signal.SIGKILL)
        assert [each.result().current for each in sent] == [1, 1, 2, 2]
        assert (one.resumed, two.resumed) == (1, 1)
    assert two_models.restarts == before + 1


@pytest.mark.slow
def test_a_model_that_does_not_load_again_restarts_the_server(two_models: TritonServer) -> None:
    program = two_models.repository / DEFAULT.served_name / "1" / "model.py"
    text = program.read_text()
    before = two_models.restarts
    program.write_text("raise RuntimeError('broken meanwhile')")
    os.kill(process_of(two_models, DEFAULT.served_name), signal.SIGKILL)
    until(lambda: two_models.restart_reason.endswith("does not load again"))
    Path(program).write_text(text)
    until(lambda: two_models.restarts > before and two_models.ready)
    with Client(two_models.url) as client, client.stream("lucas_kanade") as stream:
        assert stream.push(FRAMES[0]).current == 0
