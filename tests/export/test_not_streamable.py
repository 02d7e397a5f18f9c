"""A model of frames that no stream can run: the export says so, not only `repo`."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.errors import ExportError
from cineflow.export import export_bundle, write_repository
from cineflow.export.bundle.imported import import_bundle

#: Channels last, which has no place for frames [H, W].
RECIPE = """
import torch
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

HEIGHT, WIDTH = Axis("height", 16, 64, 8), Axis("width", 16, 64, 8)
SPEC = ModelSpec(
    name="nhwc",
    summary="Twice the image.",
    inputs=(TensorSpec("image", "float32", (1, HEIGHT, WIDTH, 1), "grey level"),),
    outputs=(TensorSpec("twice", "float32", (1, HEIGHT, WIDTH, 1), "grey level", tolerance=0.01),),
    feed=Feed("frame", ("image",)),
)


class Twice(torch.nn.Module):
    def forward(self, image):
        return image * 2


def build():
    return Twice()


def example_inputs(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {"image": 255 * torch.rand((1, sizes["height"], sizes["width"], 1), generator=generator)}
"""


def test_an_export_warns(tmp_path: Path) -> None:
    recipe = tmp_path / "nhwc.py"
    recipe.write_text(RECIPE)
    said: list[str] = []
    bundle = export_bundle(recipe, tmp_path / "bundle", progress=said.append)
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "`cineflow repo` will refuse it" in warning
    with pytest.raises(ExportError) as error:
        write_repository([bundle], tmp_path / "repo")
    assert error.value.got in warning
    run = CliRunner()
    exported = run.invoke(_app(), ["export", str(recipe), "--out", str(tmp_path / "bundle")])
    checked = run.invoke(_app(), ["check", str(bundle.onnx_path)])
    assert exported.exit_code == checked.exit_code == 0
    for output in (exported.output, checked.output):
        assert "not-streamable" in output
        assert "nothing found" not in output


def test_an_import_warns(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    m (float[1,16,16,1] image) => (float[1,16,16,1] y) { y = Abs (image) }
    """
    spec = """
    name: nhwc
    summary: Its size.
    feed: {kind: frame, inputs: [image]}
    inputs: [{name: image, dtype: float32, unit: grey level, shape: [1, 16, 16, 1]}]
    outputs: [{name: y, dtype: float32, unit: "1", tolerance: 0.01, shape: [1, 16, 16, 1]}]
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    (tmp_path / "spec.yaml").write_text(spec)
    said: list[str] = []
    import_bundle(
        tmp_path / "net.onnx", tmp_path / "spec.yaml", tmp_path / "out", progress=said.append
    )
    assert any("not-streamable" in line for line in said)


def test_a_model_that_streams_is_not_warned_about(tmp_path: Path) -> None:
    recipe = tmp_path / "nchw.py"
    recipe.write_text(
        RECIPE.replace("HEIGHT, WIDTH, 1)", "1, HEIGHT, WIDTH)").replace(
            '(1, sizes["height"], sizes["width"], 1)', '(1, 1, sizes["height"], sizes["width"])'
        )
    )
    said: list[str] = []
    export_bundle(recipe, tmp_path / "bundle", progress=said.append)
    assert not [line for line in said if line.startswith("warning")]
