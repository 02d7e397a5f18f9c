"""Weights that a module cuts, fills up or computes of others, as initializers of their own.

A convolution in TensorRT wants constant weights, and the exporter leaves large ones to be computed.
"""

from __future__ import annotations

import onnx
from onnx.reference import ReferenceEvaluator

#: What is computed here where all that it needs is known.
_FOLDED = (
    *("Split", "Pad", "Reshape", "Unsqueeze", "Squeeze", "Transpose"),
    *("Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal", "MatMul", "Gemm"),
)


def fold_weights(model: onnx.ModelProto) -> None:
    """Replace every node of `_FOLDED` whose inputs are all constants by its results, in place."""
    graph = model.graph
    known = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            known[node.output[0]] = node.attribute[0].t
    folded = []
    for node in graph.node:
        weights = known.get(node.input[0]) if node.input else None
        inputs = {name: known.get(name) for name in node.input if name}
        if node.op_type in _FOLDED and weights is not None and None not in inputs.values():
            arrays = {name: onnx.numpy_helper.to_array(one) for name, one in inputs.items() if one}
            for name, array in zip(
                node.output, ReferenceEvaluator(node).run(None, arrays), strict=True
            ):
                known[name] = onnx.numpy_helper.from_array(array, name)
                graph.initializer.append(known[name])
            folded.append(node)
    for node in folded:
        graph.node.remove(node)
    if folded:
        _drop_unused(graph)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)
    for node in [one for one in graph.node if one.op_type == "Constant"]:
        if node.output[0] not in used:
            graph.node.remove(node)
