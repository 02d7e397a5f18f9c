"""A tiny bundle written without the exporter, a split bundle, and a stand-in for the card."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import onnx
import pytest

from cineflow import _C
from cineflow.export.graph.split import split_at_ops, write_segments
from cineflow.export.ops import attach_bodies
from cineflow.runtime import Bundle
from cineflow.runtime.bundle import MANIFEST_FILE, MANIFEST_FORMAT, MODEL_FILE, file_sha256
from cineflow.runtime.segments import kernels
from cineflow.runtime.store import STORE_VARIABLE, EngineStore
from cineflow.spec import Axis, ModelSpec, TensorSpec
from tests.core.cuda_backend import Backend, open_backend
from tests.stand_ins.card import Card
from tests.stand_ins.unreadable import Card as UnreadableCard

WIDTH = Axis("width", 4, 64, 4)

SPEC = ModelSpec(
    name="tiny",
    summary="Twice the image, moved.",
    inputs=(
        TensorSpec("image", "float32", (1, 1, 4, WIDTH), "grey level"),
        TensorSpec("flow", "float32", (1, 2, 4, WIDTH), "px"),
    ),
    outputs=(TensorSpec("moved", "float32", (1, 1, 4, WIDTH), "grey level"),),
    states=(TensorSpec("sum", "float32", (1, 1, 4, WIDTH), "grey level"),),
)

GRAPH = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1,1,4,width] image, float[1,2,4,width] flow, float[1,1,4,width] sum_in)
  => (float[1,1,4,width] moved, float[1,1,4,width] sum_out)
{
  warped = cineflow.Warp <border: string = "zeros"> (image, flow)
  moved = Add (warped, warped)
  sum_out = Add (sum_in, moved)
}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Directory of the bundle."""
    directory = tmp_path / "tiny"
    directory.mkdir()
    model = onnx.parser.parse_model(GRAPH)
    attach_bodies(model)
    onnx.save(model, directory / MODEL_FILE)
    manifest = {
        "format": MANIFEST_FORMAT,
        "spec": json.loads(SPEC.to_json()),
        "files": {MODEL_FILE: {"sha256": file_sha256(directory / MODEL_FILE)}},
    }
    (directory / MANIFEST_FILE).write_text(json.dumps(manifest))
    return directory


@pytest.fixture(scope="session")
def split_default(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The built-in tracker, cut at its warps."""
    directory = tmp_path_factory.mktemp("split") / "lucas_kanade"
    shutil.copytree(Bundle.load("lucas_kanade").path, directory)
    files = write_segments(split_at_ops(onnx.load(directory / MODEL_FILE)), directory)
    manifest = json.loads((directory / MANIFEST_FILE).read_text())
    for file in files:
        manifest["files"][f"segments/{file.name}"] = {"sha256": file_sha256(file)}
    (directory / MANIFEST_FILE).write_text(json.dumps(manifest))
    return Bundle.load(directory)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    """An empty engine store, which is also the default store of this test."""
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "engines"))
    return EngineStore()


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """The stand-in, imported in place of CuPy and TensorRT-RTX."""
    card = Card()
    for name, module in card.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    queued = {name: card.kernel(name, kernel) for name, kernel in kernels().items()}
    monkeypatch.setattr("cineflow.runtime.engines.tensorrt.kernels", lambda: queued)
    return card


@pytest.fixture(scope="session")
def backend() -> Backend:
    """Our CUDA kernels under the shim."""
    made = open_backend()
    if made.shim is None:
        pytest.skip("the stand-in needs the shim; this run is on a GPU")
    return made


@pytest.fixture
def unreadable(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> UnreadableCard:
    """The stand-in whose memory NumPy cannot read, imported likewise, with the shim's kernels."""
    card = UnreadableCard()
    card.widest = 1024
    for name, module in card.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in vars(backend.module):
        if hasattr(_C, name) and not name.startswith("_"):
            monkeypatch.setattr(_C, name, getattr(backend.module, name))
    card.shim = backend.shim  # type: ignore[attr-defined]
    return card
