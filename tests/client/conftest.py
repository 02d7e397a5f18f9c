"""A server for two streams, which drops an idle stream after a second and logs its events."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cineflow.serving import TritonServer
from cineflow.serving.events import event_folder


@pytest.fixture(scope="session")
def small_server(
    server_binary: Any, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    models = shutil.copytree(repository, tmp_path_factory.mktemp("small") / "models")
    (config,) = models.glob("lucas_kanade-*/config.pbtxt")
    text = config.read_text()
    for wanted, small in (("60000000", "1000000"), ('string_value: "64"', 'string_value: "2"')):
        assert wanted in text
        text = text.replace(wanted, small)
    config.write_text(text)
    events = event_folder(tmp_path_factory.mktemp("events"))
    with TritonServer(models, binary=server_binary, environment=events) as server:
        yield server
