"""A server with mutual TLS that listens everywhere, and another bundle of the default model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from cineflow.runtime import Bundle
from cineflow.runtime.bundle import file_sha256
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


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default model with another hash, because its graph has another description."""
    place = tmp_path_factory.mktemp("other") / "bundle"
    folder = shutil.copytree(Bundle.load("lucas_kanade").path, place)
    graph = onnx.load(folder / "model.onnx")
    graph.doc_string = "another"
    onnx.save(graph, folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"]["sha256"] = file_sha256(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(folder)
