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


#: Standard nodes on a sequence [5, 2, 3], and the cost: steps x batch x what each multiplies.
PRODUCTS = {
    "LSTM <hidden_size: int = 4> (x, W16, R16)": 5 * 2 * (16 * 3 + 16 * 4),
    "GRU <hidden_size: int = 4> (x, W12, R12)": 5 * 2 * (12 * 3 + 12 * 4),
    "RNN <hidden_size: int = 4> (x, W4, R4)": 5 * 2 * (4 * 3 + 4 * 4),
    'Einsum <equation: string = "sbi, dhi -> sbdh"> (x, W4)': 5 * 2 * 3 * 4,
    'Einsum <equation: string = "...i,dhi"> (x, W4)': 5 * 2 * 3 * 4,
}


@pytest.mark.parametrize("node", PRODUCTS, ids=lambda node: node.split(" (")[0])
def test_recurrent_layers_and_einsum_count(node: str) -> None:
    weights = ", ".join(
        f"float[1,{rows},{columns}] {name}{rows} = {{{','.join(['0.1'] * rows * columns)}}}"
        for rows in (4, 12, 16)
        for name, columns in (("W", 3), ("R", 4))
    )
    text = f"""
<ir_version: 10, opset_import: ["" : 20]>
main (float[5,2,3] x) => (float[5,2,n,m] y)
<{weights}>
{{ y = {node} }}
"""
    spec = ModelSpec("net", "s", (TensorSpec("x", "float32", (5, 2, 3), "1"),), ())
    model = onnx.parser.parse_model(text)
    shapes = footprint.shapes_at(model, spec, {})
    assert footprint.multiply_adds(model, shapes) == PRODUCTS[node]


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
