"""The eight models of examples/kinds, each exported once, and all behind one real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cineflow.export import export_bundle, write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from cineflow_client import Client

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "kinds"
NAMES = sorted(path.stem for path in RECIPES.glob("*.py"))


class Exported(Mapping[str, Bundle]):
    """Each recipe as a bundle, exported when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: dict[str, Bundle] = {}

    def __getitem__(self, name: str) -> Bundle:
        if name not in self._done:
            self._done[name] = export_bundle(RECIPES / f"{name}.py", self._folder / name)
        return self._done[name]

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


@pytest.fixture(scope="session")
def bundles(
    operator_table_read_once: None, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Bundle]:
    """Bundles by name; each export has compared its model with torch at several sizes."""
    return Exported(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="session")
def server(
    bundles: Mapping[str, Bundle], tmp_path_factory: pytest.TempPathFactory
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
