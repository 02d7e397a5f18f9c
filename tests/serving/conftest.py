"""A server with mutual TLS that listens everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cineflow.serving import TritonServer


@pytest.fixture(scope="session")
def secure_server(
    server_binary: Any, repository: Path, certificates: Path
) -> Iterator[TritonServer]:
    with TritonServer(
        repository,
        binary=server_binary,
        host="0.0.0.0",
        secure=certificates,
        models=["lucas_kanade"],
    ) as running:
        yield running
