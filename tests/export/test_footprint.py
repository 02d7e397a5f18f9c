"""Counts of a graph, against sums done by hand."""

from __future__ import annotations

import onnx
import pytest

from cineflow.export.graph import footprint
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
    from cineflow.export.ops import attach_bodies

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


#: Node -> (second input's shape, output's shape, multiply-adds) at a [2, 3, 16, 8].
OPS = {
    'Warp <border: string = "zeros">': ((2, 2, 5, 6), (2, 3, 5, 6), 4 * 2 * 3 * 30),
    "Correlation <radius: int = 2>": ((2, 3, 16, 8), (2, 25, 16, 8), 2 * 25 * 128 * 3),
    "WarpCorrelation <radius: int = 2>": (
        (2, 3, 16, 8),
        (2, 25, 16, 8),
        2 * 25 * 128 * 3 + 4 * 2 * 3 * 128,
    ),
    "PolarResample <rows: int = 7, columns: int = 9, angle_step: float = 0.1>": (
        (1, 2),
        (2, 3, 7, 9),
        4 * 2 * 3 * 63,
    ),
    "PolarUnresample <rows: int = 4, columns: int = 5, angle_step: float = 0.1>": (
        (2, 2),
        (2, 3, 4, 5),
        4 * 2 * 3 * 20,
    ),
    "ComposeFlow": ((2, 2, 5, 6), (2, 3, 16, 8), 4 * 2 * 3 * 128),
}


@pytest.mark.parametrize("node", OPS)
def test_every_op_has_its_shape_and_its_cost(node: str) -> None:
    second, wanted, cost = OPS[node]
    name, _, attributes = node.partition(" ")
    third = ", flow" if name == "WarpCorrelation" else ""
    dims = ",".join(map(str, second))
    text = f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[2,3,16,8] a, float[{dims}] b, float[2,2,16,8] flow) => (float[n,c,h,w] y)
{{ y = cineflow.{name} {attributes} (a, b{third}) }}
"""
    spec = ModelSpec(
        name="one",
        summary="One op.",
        inputs=(
            TensorSpec("a", "float32", (2, 3, 16, 8), "1"),
            TensorSpec("b", "float32", second, "1"),
            TensorSpec("flow", "float32", (2, 2, 16, 8), "px"),
        ),
        outputs=(),
    )
    model = onnx.parser.parse_model(text)
    shapes = footprint.shapes_at(model, spec, {})
    assert shapes["y"] == wanted
    assert footprint.multiply_adds(model, shapes) == cost
