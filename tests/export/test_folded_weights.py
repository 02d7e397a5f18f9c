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
