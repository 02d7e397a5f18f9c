"""The C++ client changes what a server serves, as the Python client does; also through the C face.

One server for all: each test puts the alias back.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export import write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from cineflow_client import Client, ModelNotFound, ModelUnloaded, ServerRefused
from cineflow_client.local_key import read_model_files
from tests.client_cpp.driver import CppClient, CppStream, Driver
from tests.client_cpp.fixtures import built, driver

__all__ = ["driver"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 64, 80)).astype(np.uint8)
DEFAULT = Bundle.load("lucas_kanade")
ALIAS = "lucas_kanade"


@pytest.fixture(scope="module")
def changing(
    server_binary: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    folder = write_repository([DEFAULT], tmp_path_factory.mktemp("changing") / "models")
    with TritonServer(folder, binary=server_binary, models=[ALIAS]) as running:
        yield running


@pytest.fixture
def client(driver: Driver, changing: TritonServer) -> CppClient:
    return CppClient(driver, changing.url)


def ready(client: CppClient) -> set[str]:
    return {name for name, state in client.pairs("models").items() if state == "READY"}


def kept(server: TritonServer) -> set[str]:
    """What a restarted server loads."""
    files = read_model_files(server.url)
    assert files is not None
    return set(json.loads(Path(files.loaded).read_text()))


def push_until(stream: CppStream, frame: np.ndarray, done: Callable[[], bool]) -> None:
    """A stream with a direct connection asks Triton about once a second."""
    end = time.monotonic() + 15
    while not done() and time.monotonic() < end:
        stream.push(frame)


def test_nothing_to_roll_back(client: CppClient) -> None:
    for name in ("no_such_model", "../models/lucas_kanade", ".."):
        with pytest.raises(ModelNotFound, match="stood for before"):
            client.said("rollback", name)


def test_models_change_under_live_streams(
    changing: TritonServer, client: CppClient, other_bundle: Bundle
) -> None:
    ours, other = DEFAULT.served_name, other_bundle.served_name
    live = client.stream(ALIAS)
    live.push(FRAMES[0])
    done = CliRunner().invoke(_app(), ["load", str(other_bundle.path), "--url", changing.url])
    assert done.exit_code == 0, done.output
    assert client.pairs("aliases") == {ALIAS: other}
    assert ready(client) == {ALIAS, ours, other}
    assert live.push(FRAMES[1])["indices"][1] == 0

    assert client.said("rollback", ALIAS) == [ours]
    assert client.pairs("aliases") == {ALIAS: ours}
    assert client.said("rollback", ALIAS) == [other]
    assert client.pairs("aliases") == {ALIAS: other}
    assert kept(changing) == {ALIAS, ours, other}
    assert live.push(FRAMES[2])["indices"][1] == 1
    push_until(live, FRAMES[2], lambda: live.about().resumed != "0")  # its model was loaded again

    client.said("unload", ours)
    for _ in range(2):
        with pytest.raises(ModelUnloaded, match=ours):
            push_until(live, FRAMES[3], lambda: False)
    live.close()
    assert ready(client) == {ALIAS, other}
    assert kept(changing) == {ALIAS, other}
    with pytest.raises(ModelNotFound, match="that is loaded"):
        client.said("unload", ours)

    client.said("unload", ALIAS)  # with its model
    assert client.pairs("aliases") == {}
    assert kept(changing) == set()
    with pytest.raises(ModelNotFound):
        client.stream(ALIAS).push(FRAMES[0])
    assert client.said("rollback", ALIAS) == [ours]
    assert kept(changing) == {ALIAS, ours}
    with Client(changing.url) as python:
        assert python.models() == client.pairs("models")


def test_a_model_that_the_repository_does_not_have(
    changing: TritonServer, client: CppClient
) -> None:
    with pytest.raises(ModelNotFound, match="no_such_model"):
        client.said("load", "no_such_model")
    with Client(changing.url) as python, pytest.raises(ModelNotFound, match="no_such_model"):
        python.load("no_such_model")
    assert "no_such_model" not in kept(changing)


def test_only_for_its_own_user(
    changing: TritonServer, client: CppClient, server: TritonServer, tmp_path: Path
) -> None:
    CppClient(client._driver, server.url)
    with pytest.raises(ServerRefused):
        client.said("load", ALIAS)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}  # as another user has another
    with Driver(built() / "tests" / "driver", environment) as stranger:
        other = CppClient(stranger, changing.url)
        for verb in ("load", "unload", "rollback", "models"):
            with pytest.raises(ServerRefused, match=r"own user|of this user"):
                other.said(verb, ALIAS)


def test_the_c_face(changing: TritonServer) -> None:
    program = built() / "tests" / "c_face"
    done = subprocess.run(
        [program, changing.url, ALIAS], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    with Client(changing.url) as python:
        (target,) = python.aliases().values()
    assert done.stdout.splitlines() == [
        "aliases Ok",
        f"1 {ALIAS} {target}",
        "models Ok",
        "1 3",
        "open Ok",
        "push Ok",
        "displacement 128x160 px",
        "another Ok",
        "ended StreamClosed",
        "push Ok",
        "displacement 64x80 mm",
        "unload Ok",
        "push ModelUnloaded",
        "another ModelNotFound",
        "load Ok",
        "load ModelNotFound",
        "rollback ModelNotFound",
        "a model that 'no_such_model' stood for before",
        "load CineflowClientError",
    ]
