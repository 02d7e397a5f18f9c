"""The template op (csrc/template) all the way: export, fp16, verify, footprint, engine build."""

from __future__ import annotations

import importlib.util
import runpy
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

import cineflow
from cineflow.errors import ExportError
from cineflow.export import export_bundle
from cineflow.export.engines import build_engines
from cineflow.export.graph import footprint, half
from cineflow.export.ops import OPERATORS
from cineflow.export.verify import verify_bundle
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from tests.core.cuda_backend import open_backend

TEMPLATE = Path(__file__).resolve().parents[2] / "csrc/template/python"
SIZES = {"height": 32, "width": 48}

#: Convolutions, the template's op on their features, and a warp of its result.
RECIPE = """
import torch

from cineflow import ops
from cineflow.spec import Axis, ModelSpec, TensorSpec

HEIGHT, WIDTH = Axis("height", 16, 64, 8), Axis("width", 16, 64, 8)
SPEC = ModelSpec(
    name="copier",
    summary="Copies features on their way.",
    inputs=(
        TensorSpec("image", "float32", (1, 1, HEIGHT, WIDTH), "grey level"),
        TensorSpec("flow", "float32", (1, 2, HEIGHT, WIDTH), "px"),
    ),
    outputs=(TensorSpec("edges", "float32", (1, 2, HEIGHT, WIDTH), "grey level", tolerance=1.0),),
)


class Copier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.edges = torch.nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, image, flow):
        copied = torch.ops.cineflow.identity(self.features(image))
        return self.edges(ops.warp(copied, flow))


def build():
    return Copier()


def example_inputs(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    size = (sizes["height"], sizes["width"])
    return {
        "image": 255 * torch.rand((1, 1, *size), generator=generator),
        "flow": 3 * torch.randn((1, 2, *size), generator=generator),
    }
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A recipe that calls the template's op, which is an op of this cineflow meanwhile."""
    torch = pytest.importorskip("torch")
    file = tmp_path_factory.mktemp("template") / "copier.py"
    file.write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cineflow, "_C", open_backend().module)
        identity = runpy.run_path(str(TEMPLATE / "ops/identity.py"))["identity"]
        identity(torch.zeros(1, 1, 2, 2))  # registers the torch operator
    row = runpy.run_path(str(TEMPLATE / "export/identity.py"))["OP"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATORS, row.name, row)
        yield file


@pytest.fixture(scope="module")
def bundle(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("copier") / "bundle"
    return export_bundle(recipe, out, precision="fp16", split_ops=True)


def test_its_features_are_in_half_precision(bundle: Bundle) -> None:
    model = onnx.load(bundle.onnx_path)
    assert bundle.precision == "fp16"
    (node,) = (node for node in model.graph.node if node.op_type == "Identity" and node.domain)
    features = {one.output[0] for one in half.feature_nodes(model.graph)}
    assert {node.input[0], node.output[0]} <= features
    types = half.value_types(model)
    assert types[node.output[0]] == onnx.TensorProto.FLOAT16
    assert half.low_precision_coordinates(model) == []


def test_verify_passes(bundle: Bundle, recipe: Path, tmp_path: Path) -> None:
    report = verify_bundle(bundle, recipe, write_to=tmp_path)
    assert report.passed, (report.findings, report.refusals)
    assert report.summary["operators"]["cineflow::Identity"] == 1
    assert {row.output for row in report.parity} == {"edges"}


def test_footprint_knows_its_shape_and_its_cost(bundle: Bundle) -> None:
    model = onnx.load(bundle.onnx_path)
    shapes = footprint.shapes_at(model, bundle.spec, SIZES)
    (node,) = (node for node in model.graph.node if node.op_type == "Identity" and node.domain)
    pixels = SIZES["height"] * SIZES["width"]
    assert shapes[node.output[0]] == (1, 4, SIZES["height"], SIZES["width"])
    convolutions, warp = 4 * pixels * 9 + 2 * pixels * 36, 4 * 4 * pixels
    assert footprint.multiply_adds(model, shapes) == convolutions + warp


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)
@pytest.mark.parametrize("split_ops", [False, True], ids=["whole", "segments"])
def test_engines_build(bundle: Bundle, tmp_path: Path, split_ops: bool) -> None:
    store = EngineStore(tmp_path)
    built = build_engines(bundle, "tensorrt-rtx", [89], store=store, split_ops=split_ops)
    assert len(built) == (2 if split_ops else 1)  # the two ops follow each other
    assert not any(engine.fault for engine, _ in built)


def test_without_its_row_it_is_refused_by_name(
    bundle: Bundle, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(OPERATORS, "Identity")
    with pytest.raises(ExportError, match="cineflow::Identity"):
        build_engines(bundle, "tensorrt-rtx", [89], store=EngineStore(tmp_path))
