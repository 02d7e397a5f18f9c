"""The eight models of examples/kinds, exported once and behind one real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cineflow.export import export_bundle, write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from cineflow_client import Client

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "kinds"
NAMES = sorted(path.stem for path in RECIPES.glob("*.py"))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Each recipe as a bundle; the export has compared it with torch at several sizes."""
    folder = tmp_path_factory.mktemp("kinds")
    return {name: export_bundle(RECIPES / f"{name}.py", folder / name) for name in NAMES}


@pytest.fixture(scope="session")
def server(
    bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """All eight behind one server, from a repository that was moved after it was written."""
    written = tmp_path_factory.mktemp("written") / "models"
    write_repository(list(bundles.values()), written)
    moved = written.rename(tmp_path_factory.mktemp("moved") / "models")
    with TritonServer(moved) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as connection:
        yield connection
