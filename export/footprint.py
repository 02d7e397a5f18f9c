"""Size and cost of a graph at given sizes: bytes that must be live, parameters, multiply-adds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx

from cineflow.export.operators import DOMAIN
from cineflow.runtime.bundle import graph_inputs
from cineflow.spec import Axis, ModelSpec

Shapes = Mapping[str, tuple[int, ...]]


def shapes_at(model: onnx.ModelProto, spec: ModelSpec, sizes: Mapping[str, int]) -> Shapes:
    """Shape of every value whose shape is known once the dynamic axes have `sizes`."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    wanted = {
        tensor.name: [sizes[dim.name] if isinstance(dim, Axis) else dim for dim in tensor.shape]
        for tensor in graph_inputs(spec)
    }
    for value in fixed.graph.input:
        for dim, size in zip(
            value.type.tensor_type.shape.dim, wanted.get(value.name, ()), strict=False
        ):
            dim.dim_value = size
    for value in fixed.graph.output:  # symbols that are no size yet would contradict the inputs
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.Clear()
    del fixed.functions[:]
    # The bodies compute their shapes, which the inference does not follow: it is told instead.
    for node in fixed.graph.node:
        if node.domain == DOMAIN:
            shape = _own_shape(node, _known_shapes(fixed))
            if shape:
                value = onnx.helper.make_tensor_value_info(
                    node.output[0], onnx.TensorProto.FLOAT, shape
                )
                fixed.graph.value_info.append(value)
    return _known_shapes(fixed)


def _known_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {item.name: tuple(item.dims) for item in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def _own_shape(node: onnx.NodeProto, shapes: Shapes) -> tuple[int, ...]:
    """Output shape of one of our ops; () where an input's shape is not known."""
    first, second = (shapes.get(name, ()) for name in node.input[:2])
    if not first or not second:
        return ()
    given = {item.name: item.i for item in node.attribute}
    if node.op_type == "Warp":
        return first[:2] + second[2:]
    if node.op_type == "ComposeFlow":
        return first
    if node.op_type in ("PolarResample", "PolarUnresample"):
        return (*first[:2], given["rows"], given["columns"])
    side = 2 * given.get("radius", 4) + 1
    return (first[0], side * side, *first[2:])


def live_bytes(model: onnx.ModelProto, shapes: Shapes) -> int:
    """Least memory of one run: the parameters and the largest node with its inputs and outputs.

    Values are counted at 4 bytes; what a runtime needs on top (workspace, other live values) is
    not in it, so a graph that exceeds a card by this count exceeds it for certain.
    """
    largest = 0
    for node in model.graph.node:
        values = sum(math.prod(shapes.get(name, ())) for name in (*node.input, *node.output))
        largest = max(largest, values)
    return 4 * largest + parameter_bytes(model)


def parameter_bytes(model: onnx.ModelProto) -> int:
    """Bytes of the stored tensors."""
    return sum(
        math.prod(item.dims) * onnx.helper.tensor_dtype_to_np_dtype(item.data_type).itemsize
        for item in model.graph.initializer
    )


def parameter_count(model: onnx.ModelProto) -> int:
    """Stored floating-point numbers."""
    return sum(
        math.prod(item.dims)
        for item in model.graph.initializer
        if np.issubdtype(onnx.helper.tensor_dtype_to_np_dtype(item.data_type), np.floating)
    )


def multiply_adds(model: onnx.ModelProto, shapes: Shapes) -> int:
    """Multiply-adds of convolutions, matrix products and our ops; the rest is free."""
    return sum(_node_multiply_adds(node, shapes) for node in model.graph.node)


def _node_multiply_adds(node: onnx.NodeProto, shapes: Shapes) -> int:
    out = math.prod(shapes.get(node.output[0], (0,)))
    if node.op_type == "Conv":
        weight = shapes.get(node.input[1], (0, 0))
        return out * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        weight = shapes.get(node.input[1], (0, 0))
        return math.prod(shapes.get(node.input[0], (0,))) * math.prod(weight[1:])
    if node.op_type in ("MatMul", "Gemm"):
        return out * shapes.get(node.input[0], (0,))[-1]
    if node.domain == DOMAIN and node.op_type in ("Correlation", "WarpCorrelation"):
        features = shapes.get(node.input[0], (0, 0))
        warped = 4 * math.prod(features) if node.op_type == "WarpCorrelation" else 0
        return out * features[1] + warped
    return 4 * out if node.domain == DOMAIN else 0  # the others are bilinear: four corners
