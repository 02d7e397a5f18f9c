"""Weights that a module cuts or fills up reach the file as tensors of their own."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime

from cineflow.export.graph.weights import fold_weights

GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
agraph (float[1, 2, 4, 4] x) => (float[1, 1, 4, 4] y)
<float[1, 3, 1, 1] whole = {1, 2, 3}, int64[2] parts = {2, 1}, int64[8] pads = {0,0,0,0,0,1,0,0}>
{
    two, one = Split <axis = 1> (whole, parts)
    filled = Pad (one, pads)
    first = Conv (x, two)
    second = Conv (x, filled)
    half, other = Split <axis = 2, num_outputs = 2> (second)
    again = Concat <axis = 2> (half, other)
    y = Add (first, again)
}
"""


def test_parts_and_filled_weights_are_initializers() -> None:
    model = onnx.parser.parse_model(GRAPH)
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    sessions = []
    for fold in (False, True):
        if fold:
            fold_weights(model)
            onnx.checker.check_model(model)
        sessions.append(onnxruntime.InferenceSession(model.SerializeToString()))
    before, after = (session.run(None, {"x": x})[0] for session in sessions)
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(after[0, 0], 1 * x[0, 0] + 2 * x[0, 1] + 3 * x[0, 0])
    found = {one.name: list(one.dims) for one in model.graph.initializer}
    assert found == {"two": [1, 2, 1, 1], "filled": [1, 2, 1, 1]}, "what is unused has gone"
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["Conv", "Conv", "Split", "Concat", "Add"], "what depends on x stays"


NORMALISED = """
<ir_version: 10, opset_import: ["" : 20]>
agraph (float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y)
<float[1, 1, 1, 1] weight = {6}, float[1] norm = {2}, float[1] variance = {15},
 float[1] small = {1}, int64[4] shape = {-1, 1, 1, 1}, float[1] mean = {0.5}>
{
    positive = Add (variance, small)
    spread = Sqrt (positive)
    scale = Div (norm, spread)
    column = Reshape (scale, shape)
    scaled = Mul (weight, column)
    moved = Mul (mean, scale)
    bias = Sub (small, moved)
    z = Conv (x, scaled, bias)
    y = Mul (z, z)
}
"""


def test_weights_that_are_computed_of_others_are_initializers() -> None:
    """A convolution's weights times its normalisation's: 6 * 2 / sqrt(15 + 1)."""
    model = onnx.parser.parse_model(NORMALISED)
    fold_weights(model)
    onnx.checker.check_model(model)
    found = {
        one.name: onnx.numpy_helper.to_array(one).ravel().tolist()
        for one in model.graph.initializer
    }
    assert found == {"scaled": [3.0], "bias": [0.75]}
    assert [node.op_type for node in model.graph.node] == ["Conv", "Mul"]
