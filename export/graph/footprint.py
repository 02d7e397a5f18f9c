"""Shapes, memory and arithmetic of a graph at given sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from cineflow.export.ops import every_graph, row_of, subgraphs_of
from cineflow.runtime.bundle import graph_inputs
from cineflow.spec import ModelSpec
from cineflow.spec.axes import size_of

Shapes = Mapping[str, tuple[int, ...]]


def shapes_at(model: onnx.ModelProto, spec: ModelSpec, sizes: Mapping[str, int]) -> Shapes:
    """Shape of every value whose shape is known once the dynamic axes have `sizes`.

    Raises:
        ExportError: A node of domain `cineflow` has no row in `cineflow.export.ops`.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    wanted = {
        tensor.name: [size_of(dim, sizes) for dim in tensor.shape] for tensor in graph_inputs(spec)
    }
    for value in fixed.graph.input:
        for dim, size in zip(
            value.type.tensor_type.shape.dim, wanted.get(value.name, ()), strict=False
        ):
            dim.dim_value = size
    for value in fixed.graph.output:  # a symbol without a size would contradict the inputs
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.Clear()
    del fixed.functions[:]
    # Shape inference cannot follow the bodies, so each row gives the shape of its op.
    for graph in every_graph(fixed.graph):
        for node in graph.node:
            row = row_of(node)
            shape = row.output_shape(node, _known_shapes(fixed)) if row is not None else ()
            if shape:
                value = onnx.helper.make_tensor_value_info(
                    node.output[0], onnx.TensorProto.FLOAT, shape
                )
                graph.value_info.append(value)
    return _known_shapes(fixed)


def _known_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, tuple[int, ...]] = {}
    for graph in every_graph(inferred):
        shapes |= {item.name: tuple(item.dims) for item in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
                shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes


def live_bytes(model: onnx.ModelProto, shapes: Shapes) -> int:
    """Least memory of one run: the parameters and the largest node with its inputs and outputs.

    Values count 4 bytes each. Workspace and other live values come on top, so a graph that exceeds
    a card by this count is certain to exceed it.
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
    """Multiply-adds of convolutions, matrix products, recurrent layers and our ops.

    Other nodes count 0.

    Of two branches the costlier one counts, and the body of a loop counts once.

    Raises:
        ExportError: A node of domain `cineflow` has no row in `cineflow.export.ops`.
    """
    return _graph_multiply_adds(model.graph, shapes)


def _graph_multiply_adds(graph: onnx.GraphProto, shapes: Shapes) -> int:
    return sum(_node_multiply_adds(node, shapes) for node in graph.node)


def _node_multiply_adds(node: onnx.NodeProto, shapes: Shapes) -> int:
    if (row := row_of(node)) is not None:
        return row.cost(node, shapes)
    if inner := subgraphs_of(node):  # the branches of an If, or one body
        return max(_graph_multiply_adds(graph, shapes) for graph in inner)
    out = math.prod(shapes.get(node.output[0], (0,)))
    if node.op_type == "Conv":
        weight = shapes.get(node.input[1], (0, 0))
        return out * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        weight = shapes.get(node.input[1], (0, 0))
        return math.prod(shapes.get(node.input[0], (0,))) * math.prod(weight[1:])
    if node.op_type in ("MatMul", "Gemm"):
        return out * shapes.get(node.input[0], (0,))[-1]
    if node.op_type in ("LSTM", "GRU", "RNN"):
        weights = sum(math.prod(shapes.get(name, (0,))) for name in node.input[1:3])
        return math.prod(shapes.get(node.input[0], (0,))[:2]) * weights  # steps and batch
    if node.op_type == "Einsum" and len(node.input) > 1:
        return _einsum_multiply_adds(node, shapes)
    return 0


def _einsum_multiply_adds(node: onnx.NodeProto, shapes: Shapes) -> int:
    """The product of the sizes of all indices."""
    equation = helper.get_node_attr_value(node, "equation").decode().replace(" ", "")
    sizes: dict[str, int] = {}
    for term, name in zip(equation.partition("->")[0].split(","), node.input, strict=True):
        shape = shapes.get(name, ())
        before, dots, after = term.partition("...")
        rest = len(shape) - len(before) - len(after)
        indices = [*before, *(f"...{k}" for k in range(rest, 0, -1) if dots), *after]
        sizes |= dict(zip(indices, shape, strict=False))
    return math.prod(sizes.values()) if sizes else 0
