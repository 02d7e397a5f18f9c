"""A bundle loads only if its files match its manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cineflow.errors import BundleError
from cineflow.runtime import Bundle, builtin_bundles
from cineflow.runtime.bundle import BUILTIN_DIR, graph_inputs, graph_outputs


def test_loads_by_path(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    content = (tiny / "model.onnx").read_bytes()
    assert bundle.hash == hashlib.sha256(content).hexdigest()
    assert bundle.served_name == f"tiny-{bundle.hash[:8]}"
    assert bundle.onnx_path == tiny / "model.onnx"


def test_states_follow_the_tensors(tiny: Path) -> None:
    spec = Bundle.load(tiny).spec
    assert [tensor.name for tensor in graph_inputs(spec)] == ["image", "flow", "sum_in"]
    assert [tensor.name for tensor in graph_outputs(spec)] == ["moved", "sum_out"]


@pytest.mark.parametrize("name", builtin_bundles())
def test_every_builtin_bundle_loads_by_name(name: str) -> None:
    bundle = Bundle.load(name)
    assert bundle.spec.name == name
    assert bundle.path == BUILTIN_DIR / name


def test_the_default_bundle_ships() -> None:
    assert "lucas_kanade" in builtin_bundles()


def test_changed_graph_is_refused(tiny: Path) -> None:
    model = tiny / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="SHA-256"):
        Bundle.load(tiny)


def test_missing_graph_is_refused(tiny: Path) -> None:
    (tiny / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Bundle.load(tiny)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "manifest"),
        ("[]", "format 1"),
        ('{"format": 99}', "99"),
        ('{"format": 1}', "spec"),
        ('{"format": 1, "spec": {"name": "x"}, "files": {}}', "spec"),
    ],
)
def test_damaged_manifest_is_refused(tiny: Path, text: str, message: str) -> None:
    (tiny / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=message):
        Bundle.load(tiny)


def test_unknown_name_lists_the_builtin_ones(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="lucas_kanade"):
        Bundle.load(str(tmp_path / "nothing"))


def test_manifest_without_hash_is_refused(tiny: Path) -> None:
    manifest = json.loads((tiny / "manifest.json").read_text())
    manifest["files"] = {}
    (tiny / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="hash"):
        Bundle.load(tiny)


@pytest.mark.parametrize("entry", ["x", None, 3, [], {}, {"sha256": None}, {"bytes": 3}])
@pytest.mark.parametrize("file", ["model.onnx", "probes.npz", "segments/0.onnx"])
def test_an_entry_without_a_hash_is_refused(tiny: Path, file: str, entry: object) -> None:
    manifest = json.loads((tiny / "manifest.json").read_text())
    manifest["files"][file] = entry
    (tiny / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="hash"):
        Bundle.load(tiny)


@pytest.mark.parametrize("files", ["x", None, 3, ["model.onnx"]])
def test_files_of_another_form_are_refused(tiny: Path, files: object) -> None:
    manifest = json.loads((tiny / "manifest.json").read_text())
    manifest["files"] = files
    (tiny / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="hash"):
        Bundle.load(tiny)
