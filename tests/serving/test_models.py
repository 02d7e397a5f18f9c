"""Models change under live streams: streams finish where they are, go on, or end with an error."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export import write_repository
from cineflow.export.triton import Limits
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from cineflow_client import (
    CineflowClientError,
    Client,
    ModelNotFound,
    ModelUnloaded,
    ServerRefused,
    Stream,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 64, 80)).astype(np.uint8)
DEFAULT = Bundle.load("lucas_kanade")
ALIAS = "lucas_kanade"


@pytest.fixture(scope="module")
def changing(
    server_binary: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """A server with nine places for each stream of its model."""
    folder = tmp_path_factory.mktemp("changing") / "models"
    write_repository([DEFAULT], folder, limits=Limits(places=9, idle_s=77))
    with TritonServer(folder, binary=server_binary, models=[ALIAS], restarts=9) as running:
        yield running


@pytest.fixture
def client(changing: TritonServer) -> Iterator[Client]:
    with Client(changing.url) as opened:
        yield opened


def command(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(_app(), [*words])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def with_other(client: Client, other_bundle: Bundle) -> Bundle:
    """The alias stands for the other bundle, and before that for the default one. Both are live."""
    if client.models()[DEFAULT.served_name] != "READY":
        client.load(DEFAULT.served_name)
    if client.aliases().get(ALIAS) != other_bundle.served_name:
        command("load", str(other_bundle.path), "--url", client.url)
    return other_bundle


def test_an_alias_moves_under_live_streams(
    changing: TritonServer, client: Client, other_bundle: Bundle
) -> None:
    """Ready stays ready meanwhile."""
    ready: list[bool] = []
    done = threading.Event()

    def poll() -> None:
        with Client(changing.url) as other:
            while not done.is_set():
                ready.append(other.is_ready() and changing.ready)
                time.sleep(0.01)

    with client.stream(ALIAS) as live:
        live.push(FRAMES[0])
        polling = threading.Thread(target=poll)
        polling.start()
        said = command("load", str(other_bundle.path), "--url", changing.url)
        done.set()
        polling.join()
        assert len(ready) > 10
        assert all(ready)
        assert f"before: {DEFAULT.served_name}" in said
        with client.stream(ALIAS) as opened:
            opened.push(FRAMES[0])
            assert opened.model.served_name == other_bundle.served_name
            assert opened.model.idle_timeout_s == 77  # as of the model that it replaced
        assert live.push(FRAMES[1]).previous == 0
        assert live.model.served_name == DEFAULT.served_name
        assert live.resumed == 0


def push_on(stream: Stream) -> None:
    """It asks Triton once a second whether it still has its place."""
    while True:
        stream.push(FRAMES[1])


def test_an_unloaded_model_ends_its_streams(client: Client, with_other: Bundle) -> None:
    with (
        client.stream(DEFAULT.served_name) as ended,
        client.stream(ALIAS) as live,
    ):
        ended.push(FRAMES[0])
        live.push(FRAMES[0])
        command("unload", DEFAULT.served_name, "--url", client.url)
        for _ in range(2):  # it does not try for 30 s whether the model comes back
            started_at = time.monotonic()
            with pytest.raises(ModelUnloaded, match=DEFAULT.served_name):
                push_on(ended)
            assert time.monotonic() - started_at < 5
        assert live.push(FRAMES[1]).previous == 0
        assert DEFAULT.served_name not in [
            name for name, state in client.models().items() if state == "READY"
        ]
    with pytest.raises(ModelNotFound, match="that is loaded"):
        client.unload(DEFAULT.served_name)


@pytest.mark.parametrize("name", ["no_such_model", "../models/lucas_kanade"])
def test_nothing_to_roll_back(client: Client, name: str) -> None:
    with pytest.raises(ModelNotFound, match="stood for before"):
        client.rollback(name)


def test_a_rollback_with_an_unusable_configuration(
    changing: TritonServer, client: Client, with_other: Bundle
) -> None:
    """The file is named, and the alias stays."""
    folder = changing.repository / ALIAS
    for name, content, said in (
        ("previous.pbtxt", b"\xff", "utf-8"),
        ("previous.pbtxt", b"name: 'x'", "without a model_name"),
        ("config.pbtxt", None, "No such file"),
    ):
        file = folder / name
        before = file.read_bytes()
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        try:
            with pytest.raises(CineflowClientError, match=f"{file}.*{said}.*cineflow load"):
                client.rollback(ALIAS)
            output = command("rollback", ALIAS, "--url", changing.url, code=2)
            assert "CineflowClientError" in output
        finally:
            file.write_bytes(before)
    assert client.aliases() == {ALIAS: with_other.served_name}


@pytest.mark.slow
def test_a_rollback_and_back(client: Client, with_other: Bundle) -> None:
    with client.stream(ALIAS) as live:
        live.push(FRAMES[0])
        said = command("rollback", ALIAS, "--url", client.url)
        assert DEFAULT.served_name in said
        assert client.model(ALIAS).served_name == DEFAULT.served_name
        assert live.push(FRAMES[1]).previous == 0
        assert live.model.served_name == with_other.served_name
    assert client.rollback(ALIAS) == with_other.served_name
    assert client.aliases() == {ALIAS: with_other.served_name}


@pytest.mark.slow
def test_an_alias_is_unloaded_with_its_model(client: Client, with_other: Bundle) -> None:
    with client.stream(ALIAS) as ended:
        ended.push(FRAMES[0])
        client.unload(ALIAS)
        with pytest.raises(ModelUnloaded):
            push_on(ended)
    assert client.aliases() == {}
    with pytest.raises(ModelNotFound):
        client.model(ALIAS)
    client.load(ALIAS)
    listed = command("models", "--url", client.url)
    assert with_other.served_name in listed
    assert "ready" in listed


@pytest.mark.slow
def test_a_model_that_is_loaded_again_takes_its_streams_along(
    changing: TritonServer, client: Client
) -> None:
    """With their state: the results are those of a stream that nothing happened to."""
    name = client.model(ALIAS).served_name
    with client.stream(ALIAS) as whole:
        wanted = [whole.push(frame).displacement for frame in FRAMES]
    with client.stream(ALIAS) as live:
        found = [live.push(frame).displacement for frame in FRAMES[:2]]
        config = changing.repository / name / "config.pbtxt"
        text = config.read_text()
        assert "77000000" in text
        config.write_text(text.replace("77000000", "78000000"))  # Triton loads what has changed
        client.load(name)
        time.sleep(1.1)  # with the next frame it asks Triton for its place
        found.append(live.push(FRAMES[2]).displacement)
        until = time.monotonic() + 10
        while live.resumed == 0 and time.monotonic() < until:
            time.sleep(0.01)
        found.append(live.push(FRAMES[3]).displacement)
        assert live.resumed == 1
    np.testing.assert_array_equal(np.array(found[1:]), np.array(wanted[1:]))


@pytest.mark.slow
def test_a_bundle_that_does_not_load(
    changing: TritonServer, client: Client, with_other: Bundle, tmp_path: Path
) -> None:
    """The alias stays, also for a server that is started again."""
    config = changing.repository / ALIAS / "config.pbtxt"
    before = config.read_text()
    client.unload(DEFAULT.served_name)
    wrong = shutil.copytree(DEFAULT.path, tmp_path / "wrong")
    (wrong / "model.onnx").write_bytes(b"another content than that of its manifest")
    text = command("load", str(wrong), "--url", client.url, code=2)
    assert "BundleError" in text
    program = changing.repository / DEFAULT.served_name / "1" / "model.py"
    text = program.read_text()
    program.write_text("raise RuntimeError('does not load')")
    for change in (lambda: client.load(DEFAULT.served_name), lambda: client.rollback(ALIAS)):
        with pytest.raises(ServerRefused, match="does not load"):
            change()
        assert config.read_text() == before
        assert client.model(ALIAS).served_name == with_other.served_name
    program.write_text(text)


def test_only_for_its_own_user(
    changing: TritonServer, server: TritonServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Client(server.url) as fixed, pytest.raises(ServerRefused):
        fixed.load(ALIAS)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # as another user has another one
    with Client(changing.url) as stranger:
        for change in (stranger.load, stranger.unload, stranger.rollback):
            with pytest.raises(ServerRefused, match=r"own user|of this user"):
                change(ALIAS)
    assert "ArgumentError" in command("load", "lucas_kanade", "--url", changing.url, code=2)


@pytest.mark.slow
def test_a_restarted_server_has_what_was_served(changing: TritonServer, client: Client) -> None:
    client.load(ALIAS)
    served = client.aliases()
    os.kill(changing.pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while not (changing.restarts == 1 and changing.ready):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert client.aliases() == served
