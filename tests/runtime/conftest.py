"""A tiny bundle, written without the exporter: doubles a tensor and warps it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from cineflow.export.operators import attach_bodies
from cineflow.runtime.bundle import MANIFEST_FILE, MANIFEST_FORMAT, MODEL_FILE, file_sha256
from cineflow.spec import Axis, ModelSpec, TensorSpec

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
