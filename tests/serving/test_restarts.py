"""A server or a model's process that dies or stands still: both are started again, and say so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cineflow.serving import ServerDiedError, TritonServer, watching
from cineflow.serving.gpu import CARD_VARIABLE
from cineflow.serving.plan import PULSE, Pulse, Scratch
from cineflow_client import (
    CineflowClientError,
    Client,
    FrameRejected,
    ServerDied,
    Stream,
    StreamBroken,
)

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)

#: A frame whose first pixel is 13 hangs.
HANGING_MODEL = """
import os, site, time
for folder in os.environ["CINEFLOW_SITE"].split(os.pathsep):
    site.addsitedir(folder)
from cineflow.serving import backend
class Hanging(backend.Frames):
    def _frame(self, request):
        frame = super()._frame(request)
        if frame is not None and frame[0, 0] == 13:
            time.sleep(600)
        return frame
backend.Frames = Hanging
TritonPythonModel = backend.TritonPythonModel
"""

#: Its engine loses the card while there is a file "lost" next to the models, which goes with it.
LOSING_MODEL = """
import os, site
for folder in os.environ["CINEFLOW_SITE"].split(os.pathsep):
    site.addsitedir(folder)
from pathlib import Path
from cineflow.errors import DeviceLostError
from cineflow.serving import backend
real = backend.open_engine
def on_the_cpu(bundle, threads, on_card):
    assert on_card
    return real(bundle, threads)
backend.open_engine = on_the_cpu
class TritonPythonModel(backend.TritonPythonModel):
    def initialize(self, args):
        super().initialize(args)
        lost, run = Path(args["model_repository"]).parents[1] / "lost", self._engine.run
        def losing(inputs):
            if lost.exists():
                lost.unlink()
                raise DeviceLostError("a card that computes", "CUDA failure 719")
            return run(inputs)
        self._engine.run = losing
"""


def stubs(server: TritonServer) -> list[int]:
    """Process ids of the models' processes."""
    found = []
    for children in Path(f"/proc/{server.pid}/task").glob("*/children"):
        found += [int(pid) for pid in children.read_text().split()]
    return found


def until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def watched(server_binary: Any, repository: Path, left_behind: Any) -> Iterator[TritonServer]:
    with TritonServer(repository, binary=server_binary, restarts=10) as running:
        yield running
    assert left_behind(running.name) == []


def push_on(stream: Stream) -> None:
    while True:
        stream.push(FRAME)


def restarted_after(
    server: TritonServer, harm: Callable[[], None]
) -> tuple[CineflowClientError, str]:
    """Do harm under a live stream. Returns the stream's error and the reason of the restart."""
    before, pid = server.restarts, server.pid
    with Client(server.url) as client:
        assert client.is_ready()
        stream = client.stream("lucas_kanade", resume_s=0)
        stream.push(FRAME)
        harm()
        with pytest.raises(StreamBroken) as lost:
            push_on(stream)
        until(lambda: server.restarts > before)
        until(lambda: server.pid not in (None, pid))
        assert not client.is_ready()  # it has only just been started
        # HTTP starts after gRPC, and a gRPC channel takes its time to connect again.
        until(lambda: client.is_ready() and server.ready)
        with client.stream("lucas_kanade", "shm") as again:
            assert again.push(FRAME).current == 0
    assert server.restarts == before + 1
    return lost.value, server.restart_reason


def test_after_a_standstill_of_the_machine_nobody_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused virtual machine: the pulses are old, but nobody could run."""
    now = [100.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now[0]))
    files = Scratch.of(tmp_path)
    files.vitals.mkdir()
    (tmp_path / "log").touch()
    pulse = PULSE.pack(*Pulse(round(100e9), 0, 0))
    (files.vitals / str(os.getpid())).write_bytes(pulse + b"a-model")
    plan = SimpleNamespace(log=tmp_path / "log", stall_s=5.0, hang_s=9.0, http_port=1, ready_s=60.0)
    health = watching.Health(plan, files)  # type: ignore[arg-type]
    now[0] = 130.0
    assert health.complaint() is None
    for step in range(1, 5):
        now[0] = 130.0 + step
        assert health.complaint() is None
    now[0] = 135.0
    assert words(health) == f"{who(os.getpid())} has stalled for 5 s"
    (files.vitals / "999999999").write_bytes(pulse + b"a-model")
    (files.vitals / str(os.getpid())).unlink()
    assert words(health) == f"{who(999999999)} has ended"


def words(health: watching.Health) -> str:
    complaint = health.complaint()
    assert complaint is not None
    return complaint.words


def who(pid: int) -> str:
    return f"The process of a-model ({pid})"


def test_a_killed_model_is_started_again(watched: TritonServer) -> None:
    def harm() -> None:
        os.kill(stubs(watched)[0], signal.SIGKILL)

    error, reason = restarted_after(watched, harm)
    assert isinstance(error, ServerDied)
    assert "open a new stream" in error.remedy
    assert reason.startswith("The process of lucas_kanade-")
    assert reason.endswith("has ended")
    assert reason in watched.log_tail(1000)


def test_a_stream_goes_on_after_its_model_was_killed(watched: TritonServer) -> None:
    with Client(watched.url) as client, client.stream("lucas_kanade") as stream:
        stream.push(FRAME)
        os.kill(stubs(watched)[0], signal.SIGKILL)
        result = stream.push(FRAME)
        assert (result.previous, result.current, stream.resumed) == (0, 1, 1)


@pytest.mark.slow
def test_an_idle_server_with_a_dead_model_is_not_ready(watched: TritonServer) -> None:
    """It notices without a frame."""
    before = watched.restarts
    os.kill(stubs(watched)[0], signal.SIGKILL)
    until(lambda: not watched.ready, 2.0)
    until(lambda: watched.ready)
    assert watched.restarts == before + 1


@pytest.mark.slow
@pytest.mark.parametrize("stalled_s", [1.6, 2.2, 3.0])
def test_a_model_that_goes_on_after_a_stall(watched: TritonServer, stalled_s: float) -> None:
    """Triton has given it up, and crashes when it comes back."""

    def harm() -> None:
        (stub,) = stubs(watched)
        os.kill(stub, signal.SIGSTOP)
        with Client(watched.url) as client, client.stream("lucas_kanade") as stream:
            stream.submit(FRAME)
            time.sleep(stalled_s)
        os.kill(stub, signal.SIGCONT)

    _, reason = restarted_after(watched, harm)
    assert reason.startswith(("The server ended by itself", "The process of lucas_kanade-"))


@pytest.mark.slow
def test_a_model_that_is_stopped_for_good(watched: TritonServer) -> None:
    _, reason = restarted_after(watched, lambda: os.kill(stubs(watched)[0], signal.SIGSTOP))
    assert reason.endswith("is stopped for 5 s")


@pytest.mark.slow
def test_a_server_that_stands_still(watched: TritonServer) -> None:
    pid = watched.pid
    assert pid is not None
    before = watched.restarts
    time.sleep(2)  # the supervisor asks once a second, and has heard of it then
    os.kill(pid, signal.SIGSTOP)
    until(lambda: watched.restarts > before)
    until(lambda: watched.ready)
    # The process of the model waits for its server when it passes on metrics: 5 s then, not 10.
    assert watched.restart_reason == "The server did not respond for 5 s"


@pytest.mark.slow
def test_a_request_that_hangs(server_binary: Any, repository: Path, tmp_path: Path) -> None:
    models = shutil.copytree(repository, tmp_path / "models")
    (program,) = models.glob("lucas_kanade-*/1/model.py")
    program.write_text(HANGING_MODEL)
    bad = FRAME.copy()
    bad[0, 0] = 13
    with (
        TritonServer(models, binary=server_binary, restarts=9, hang_s=2.0) as server,
        Client(server.url) as client,
    ):
        stream = client.stream("lucas_kanade")
        stream.push(FRAME)
        with pytest.raises(FrameRejected, match="twice took the server down"):
            stream.push(bad)  # tried once more, and then left out
        until(lambda: server.restarts == 2)
        assert server.restart_reason.endswith("has computed one request for 2 s")
        assert stream.push(FRAME).previous == 0
        with client.stream("lucas_kanade") as again:
            assert again.push(FRAME).current == 0


@pytest.mark.slow
def test_a_card_that_is_lost(server_binary: Any, repository: Path, tmp_path: Path) -> None:
    """The process ends, another one may use the card, and the stream goes on from its state."""
    models = shutil.copytree(repository, tmp_path / "models")
    (program,) = models.glob("lucas_kanade-*/1/model.py")
    program.write_text(LOSING_MODEL)
    clip = [np.roll(FRAME, k, 1) for k in range(4)]
    with (
        TritonServer(
            models,
            binary=server_binary,
            restarts=9,
            environment={
                "CINEFLOW_EVENTS": str(tmp_path),
                CARD_VARIABLE: "1",
                "CUDA_VISIBLE_DEVICES": "GPU-aa",
            },
        ) as server,
        Client(server.url) as client,
    ):
        with client.stream("lucas_kanade") as stream:
            for k, frame in enumerate(clip):
                if k == 2:
                    (tmp_path / "lost").touch()
                found = stream.push(frame).displacement
        assert server.restarts == 1
        assert server.restart_reason.endswith("has ended")
        with client.stream("lucas_kanade") as stream:  # the card is there again
            for frame in clip:
                wanted = stream.push(frame).displacement
        np.testing.assert_array_equal(found, wanted)
        assert server.log_file is not None
        assert "the card is lost, and the model's process ends" in server.log_file.read_text()
    (events,) = tmp_path.glob("*.jsonl")
    names = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert names == ["opened", "card_lost", "opened", "resumed", "ended", "opened", "ended"]


@pytest.mark.slow
def test_a_frame_that_takes_many_budgets_is_ended(
    server_binary: Any, repository: Path, tmp_path: Path
) -> None:
    """The limit of its stream (100 budgets) comes long before that of the server."""
    models = shutil.copytree(repository, tmp_path / "models")
    (program,) = models.glob("lucas_kanade-*/1/model.py")
    # It hangs in what is asked for with each frame.
    given = HANGING_MODEL.replace("_frame(", "_with_frame(")
    given = given.replace("frame[0, 0] == 13", "self._frame(request)[0, 0] == 13")
    program.write_text(given)
    bad = FRAME.copy()
    bad[0, 0] = 13
    with (
        TritonServer(
            models,
            binary=server_binary,
            restarts=9,
            environment={"CINEFLOW_EVENTS": str(tmp_path)},
        ) as server,
        Client(server.url) as client,
    ):
        stream = client.stream("lucas_kanade", rate=20, budget_ms=25)
        for _ in range(3):
            stream.push(FRAME)
        began = time.monotonic()
        with pytest.raises(FrameRejected, match="twice took the server down"):
            stream.push(bad)
        assert time.monotonic() - began < 55
        until(lambda: server.restarts == 2)
        assert server.restart_reason.endswith("has ended")
        assert stream.push(FRAME).previous == 2
        assert server.log_file is not None
        said = server.log_file.read_text()
    assert said.count("a frame has computed for 2.5 s and hangs: its process ends") == 2
    (events,) = tmp_path.glob("*.jsonl")
    names = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert names == ["opened", "hung", *("opened", "resumed", "hung"), "opened", "resumed", "ended"]


@pytest.mark.slow
def test_a_server_that_dies_too_often_is_given_up(
    server_binary: Any, repository: Path, left_behind: Any
) -> None:
    """Once more than it may be started again; models that were loaded later come back."""
    with TritonServer(repository, binary=server_binary, models=[], restarts=1) as server:
        server.load("lucas_kanade")
        os.kill(stubs(server)[0], signal.SIGKILL)
        until(lambda: server.restarts == 1 and server.ready)
        with Client(server.url) as client, client.stream("lucas_kanade") as stream:
            stream.push(FRAME)
        os.kill(stubs(server)[0], signal.SIGKILL)
        with pytest.raises(ServerDiedError, match="The process of lucas_kanade-"):
            server.wait()
        assert not server.ready
    assert left_behind(server.name) == []
