"""Half precision with single-precision islands.

Features may be stored in f16. Coordinates, flow and composed state may not: an f16 flow of 40 px
has steps of 0.03 px, and they compose over the frames of a beat. So the graph is split into

- the island: every node through which a result or a warp's flow is computed, back to and including
  the convolutions (or matrix products) that first give it: f32;
- the features: the other convolutions and what lies between them: f16;
- everything else (pre-processing, shape arithmetic): left as it is.

Casts stand where the two meet, weights of feature nodes are stored in f16, and the borders of the
graph keep the dtypes of the spec.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cineflow.export.operators import DOMAIN, inferred

FP32, FP16, BF16 = "fp32", "fp16", "bf16"

#: Nodes that turn features into numbers of another meaning; an island ends behind them.
CONTRACTIONS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Correlation", "WarpCorrelation"}

#: What these read is the form of a value, not the value.
_SHAPES = {"Shape", "Size"}

#: Our ops -> positions of the inputs that are coordinates or flow; GridSample's grid is one, too.
_COORDINATES: dict[str, tuple[int, ...]] = {
    "GridSample": (1,),
    "Warp": (1,),
    "ComposeFlow": (0, 1),
    "WarpCorrelation": (2,),
    "PolarResample": (1,),
    "PolarUnresample": (1,),
}

#: Nodes that f16 features pass through, with the positions of their feature inputs (None: all).
_CARRIERS: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "Correlation"), None),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Concat", "Max", "Min", "PRelu", "Clip"), None),
    **dict.fromkeys(("LeakyRelu", "Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Softmax"), (0,)),
    **dict.fromkeys(("Slice", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze"), (0,)),
    **dict.fromkeys(("Gather", "Expand", "Flatten", "Identity", "Resize", "Tile"), (0,)),
    **dict.fromkeys(("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"), (0,)),
    "Pad": (0, 2),
    "Warp": (0,),
    "WarpCorrelation": (0, 1),
    "PolarResample": (0,),
    "PolarUnresample": (0,),
    "BatchNormalization": None,
}


def to_half(model: onnx.ModelProto) -> None:
    """Store the features of `model` in f16, in place; functions are attached afterwards."""
    graph = model.graph
    features = feature_nodes(graph)
    if not features:
        return
    producer = {name: node for node in graph.node for name in node.output}
    constants = {item.name: item for item in graph.initializer}
    half_values = {name for node in features for name in node.output}
    nodes: list[onnx.NodeProto] = []
    casts: dict[tuple[str, int], str] = {}

    def cast(name: str, target: int) -> str:
        key = (name, target)
        if key not in casts:
            casts[key] = f"{name}_{'half' if target == TensorProto.FLOAT16 else 'single'}"
            nodes.append(helper.make_node("Cast", [name], [casts[key]], casts[key], to=target))
        return casts[key]

    feature_outputs = {node.output[0] for node in features}
    for node in list(graph.node):
        is_feature = node.output[0] in feature_outputs
        positions = _CARRIERS.get(node.op_type) if is_feature else ()
        for position, name in enumerate(node.input):
            wants_half = is_feature and (positions is None or position in positions)
            if not name:
                continue
            if wants_half and name in constants:
                node.input[position] = _half_constant(graph, constants[name])
            elif wants_half and name not in half_values:
                node.input[position] = cast(name, TensorProto.FLOAT16)
            elif not wants_half and name in half_values and name in producer:
                node.input[position] = cast(name, TensorProto.FLOAT)
        nodes.append(node)
    for value in graph.output:
        if value.name in half_values:
            raise AssertionError(f"{value.name} is a result and must be on the island")
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused_constants(graph)
    # Types of the intermediate values changed; the checker infers them again.
    del graph.value_info[:]


def precision_of(model: onnx.ModelProto) -> str:
    """Storage type of the features: the narrowest that a weight, a node or a border has."""
    graph = inferred(model).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    kinds = {value.type.tensor_type.elem_type for value in values}
    kinds |= {item.data_type for item in graph.initializer}
    for kind, name in ((TensorProto.FLOAT16, FP16), (TensorProto.BFLOAT16, BF16)):
        if kind in kinds:
            return name
    return FP32


def feature_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that may run in f16: fed by a contraction, and not on the island."""
    island = island_nodes(graph)
    half: set[str] = set()
    found = []
    for node in graph.node:
        if node.op_type not in _CARRIERS or node.output[0] in island:
            continue
        positions = _CARRIERS[node.op_type]
        carried = [n for i, n in enumerate(node.input) if positions is None or i in positions]
        if node.op_type in CONTRACTIONS or half.intersection(carried):
            half.update(node.output)
            found.append(node)
    return found


def island_nodes(graph: onnx.GraphProto) -> set[str]:
    """First outputs of the nodes that compute coordinates and results (see the module's text)."""
    producer = {name: node for node in graph.node for name in node.output}
    island: set[str] = set()
    open_names = [value.name for value in graph.output]
    open_names += [name for node in graph.node for name in coordinates_of(node)]
    while open_names:
        node = producer.get(open_names.pop())
        if node is None or node.output[0] in island:
            continue
        island.add(node.output[0])
        if node.op_type not in CONTRACTIONS | _SHAPES:
            open_names.extend(name for name in node.input if name)
    return island


def coordinates_of(node: onnx.NodeProto) -> list[str]:
    """Inputs of `node` that are coordinates or flow."""
    if node.domain not in ("", "ai.onnx", DOMAIN):
        return []
    return [node.input[position] for position in _COORDINATES.get(node.op_type, ())]


def low_precision_coordinates(model: onnx.ModelProto) -> list[str]:
    """Coordinates, flow and results of `model` that are stored below f32, in words."""
    types = value_types(model)
    low = {int(TensorProto.FLOAT16): "f16", int(TensorProto.BFLOAT16): "bf16"}
    findings = []
    for node in model.graph.node:
        findings += [
            f"{node.op_type} {node.name} samples at coordinates in {low[types[name]]}"
            for name in coordinates_of(node)
            if types.get(name) in low
        ]
    # Behind every result or coordinate, values keep f32 up to the contraction that gives them.
    island = island_nodes(model.graph)
    for node in model.graph.node:
        if node.output[0] not in island or node.op_type == "Cast":
            continue
        findings += [
            f"{node.op_type} {node.name} computes a coordinate or result in {low[types[name]]}"
            for name in node.output
            if types.get(name) in low
        ]
    return findings


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value of the main graph whose type can be inferred."""
    graph = inferred(model).graph
    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {item.name: item.data_type for item in model.graph.initializer}


def _half_constant(graph: onnx.GraphProto, constant: onnx.TensorProto) -> str:
    if constant.data_type != TensorProto.FLOAT:
        return str(constant.name)
    name = f"{constant.name}_half"
    if all(item.name != name for item in graph.initializer):
        values = numpy_helper.to_array(constant)
        largest = np.finfo(np.float16).max
        half = np.clip(values, -largest, largest).astype(np.float16)
        graph.initializer.append(numpy_helper.from_array(half, name))
    return name


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
