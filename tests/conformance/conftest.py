"""A server whose streams idle after four seconds, with two places and mutual TLS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cineflow.serving import TritonServer
from cineflow.serving.events import event_folder


@pytest.fixture(scope="module")
def brief_server(
    server_binary: Any,
    repository: Path,
    certificates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TritonServer]:
    models = shutil.copytree(repository, tmp_path_factory.mktemp("brief") / "models")
    (config,) = models.glob("lucas_kanade-*/config.pbtxt")
    text = config.read_text()
    for wanted, small in (("60000000", "4000000"), ('string_value: "64"', 'string_value: "2"')):
        assert wanted in text
        text = text.replace(wanted, small)
    config.write_text(text)
    with TritonServer(
        models,
        binary=server_binary,
        secure=certificates,
        models=["lucas_kanade"],
        environment=event_folder(tmp_path_factory.mktemp("events")),
    ) as running:
        yield running
