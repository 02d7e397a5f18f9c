"""Counts of a graph, against sums done by hand."""

from __future__ import annotations

import onnx
import pytest

from cineflow.export import footprint
from cineflow.spec import Axis, ModelSpec, TensorSpec

H = Axis("h", 4, 64)
SPEC = ModelSpec(
    name="net",
    summary="One of each.",
    inputs=(TensorSpec("a", "float32", (1, 2, H, 8), "1"),),
    outputs=(TensorSpec("y", "float32", (1, 9, H, 8), "1"),),
)
GRAPH = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1,2,h,8] a) => (float[1,9,h,8] y)
<float[3,2,3,3] w = {%s}>
{
  c = Conv <pads: ints = [1,1,1,1]> (a, w)
  y = cineflow.Correlation <radius: int = 1, scale: float = 0.25> (c, c)
}
"""


@pytest.fixture
def model() -> onnx.ModelProto:
    from cineflow.export.operators import attach_bodies

    model = onnx.parser.parse_model(GRAPH % ",".join(["0"] * 54))
    attach_bodies(model)
    return model


def test_counts(model: onnx.ModelProto) -> None:
    shapes = footprint.shapes_at(model, SPEC, {"h": 16})
    assert shapes["c"] == (1, 3, 16, 8)
    assert footprint.parameter_count(model) == 54
    convolution, correlation = 3 * 16 * 8 * 18, 9 * 16 * 8 * 3
    assert footprint.multiply_adds(model, shapes) == convolution + correlation
    assert footprint.live_bytes(model, shapes) == 4 * (15 * 16 * 8 + 54)
