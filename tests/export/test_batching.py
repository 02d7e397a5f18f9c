"""Calls run together along a first axis of any name, where two of them do not change each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.errors import ExportError
from cineflow.export import write_repository
from cineflow.export.bundle.imported import import_bundle
from cineflow.export.triton.served import served_config
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from cineflow_client import Client

SPEC = """
name: {name}
summary: A call.
feed: {{kind: call}}
axes:
  - {{name: {axis}, minimum: 1, maximum: 8}}
inputs:
  - {{name: x, dtype: float32, unit: "1", shape: [{given}]}}
outputs:
  - {{name: y, dtype: float32, unit: "1", tolerance: 0.0001, shape: [{made}]}}
"""

#: Each row by itself, and each row less the mean of all.
ALONE = "y = Mul (x, x)"
MIXED = "m = ReduceMean <keepdims: int = 1> (x, zero) y = Sub (x, m)"


def bundle_of(
    folder: Path, name: str, axis: str, nodes: str = ALONE, shape: str = "{axis}, 3"
) -> Bundle:
    sizes = shape.format(axis=axis)
    text = f"""
    <ir_version: 10, opset_import: ["" : 20]>
    main (float[{sizes}] x) => (float[{sizes}] y)
    <int64[1] zero = {{0}}> {{ {nodes} }}
    """
    folder = folder / name
    folder.mkdir()
    onnx.save(onnx.parser.parse_model(text), folder / "net.onnx")
    spec = SPEC.format(name=name, axis=axis, given=sizes, made=sizes)
    (folder / "spec.yaml").write_text(spec)
    return import_bundle(folder / "net.onnx", folder / "spec.yaml", folder / "bundle")


@pytest.mark.parametrize("axis", ["batch", "batch_size", "N", "rows"])
def test_rows_of_any_name_that_stand_alone_are_a_batch(tmp_path: Path, axis: str) -> None:
    bundle = bundle_of(tmp_path, "net", axis)
    assert bundle.batch_axis == axis
    assert served_config(bundle).max_batch_size == 8


@pytest.mark.parametrize("axis", ["N", "frames"])
def test_rows_that_belong_together_are_none(tmp_path: Path, axis: str) -> None:
    """Joined with those of another client they would give other values."""
    bundle = bundle_of(tmp_path, "net", axis, MIXED)
    assert bundle.batch_axis == ""
    assert served_config(bundle).max_batch_size == 0


def test_a_batch_whose_rows_change_each_other_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="two calls in one batch") as error:
        bundle_of(tmp_path, "net", "batch", MIXED)
    assert error.value.remedy


def test_a_bundle_of_before_has_a_batch_by_its_name_alone(tmp_path: Path) -> None:
    for axis, limit in (("batch", 8), ("rows", 0)):
        bundle = bundle_of(tmp_path, f"net_{axis}", axis)
        manifest = json.loads((bundle.path / "manifest.json").read_text())
        del manifest["batch_axis"]
        (bundle.path / "manifest.json").write_text(json.dumps(manifest))
        assert served_config(Bundle.load(bundle.path)).max_batch_size == limit


@pytest.mark.parametrize("backend", ["python", "onnxruntime"])
def test_a_tensor_without_an_axis_is_refused_before_a_server_is(
    tmp_path: Path, backend: str
) -> None:
    """Triton would not start, and every other model of its repository would go down with it."""
    text = '<ir_version: 10, opset_import: ["" : 20]> m (float[3] x) => (float y) {Y}'.replace(
        "{Y}", "{ y = ReduceSum <keepdims: int = 0> (x) }"
    )
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    spec = SPEC.format(name="scalar", axis="N", given="3", made="")
    (tmp_path / "spec.yaml").write_text(spec)
    bundle = import_bundle(tmp_path / "net.onnx", tmp_path / "spec.yaml", tmp_path / "bundle")
    with pytest.raises(ExportError, match=r"y without any") as error:
        write_repository([bundle], tmp_path / "repo", backend=backend)
    assert "reshape(1)" in error.value.remedy
    assert not (tmp_path / "repo").exists()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, server_binary: object) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("batching")
    bundles = [
        bundle_of(folder, "named", "batch_size"),
        bundle_of(folder, "mixed", "N", MIXED),
        bundle_of(folder, "ages", "batch", shape="{axis}"),
    ]
    models = write_repository(bundles, folder / "models")
    with TritonServer(models) as server, Client(server.url) as opened:
        yield opened


@pytest.mark.parametrize("name", ["named", "mixed", "ages"])
def test_calls_at_the_same_time_get_their_own_results(client: Client, name: str) -> None:
    """`ages` has nothing but its batch: Triton has no size for it, so each call runs alone."""

    def ask(seed: int) -> None:
        random = np.random.default_rng(seed)
        rows = 1 + seed % 4
        x = random.normal(size=rows if name == "ages" else (rows, 3)).astype(np.float32)
        expected = x - x.mean(axis=0) if name == "mixed" else x * x
        np.testing.assert_allclose(client.call(name, x=x)["y"].values, expected, atol=1e-4)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(40)))
