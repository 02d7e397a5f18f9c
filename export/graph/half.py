"""Half precision with single-precision islands.

Features may be stored in f16. Coordinates, flow and composed state may not: an f16 flow of 40 px
has steps of 0.03 px, and the errors add up over the frames of a beat. So the graph is divided into

- the island: every node through which a result or a coordinate is computed, back to and including
  the convolutions (or matrix products, correlations) that first produce it: f32;
- the features: the other convolutions and the nodes between them: f16;
- everything else (pre-processing, shape arithmetic), which is left as it is.

Casts are inserted where the two meet. Weights of feature nodes are stored in f16. The inputs and
outputs of the graph keep the dtypes of the spec. Branches and loop bodies keep f32. Which inputs of
our ops are coordinates and which are features is in their rows (`cineflow.export.ops`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cineflow.export.ops import (
    every_graph,
    every_node,
    inferred,
    names_read_by,
    row_of,
    subgraphs_of,
)

FP32, FP16, BF16 = "fp32", "fp16", "bf16"

#: Precisions that an export can ask for.
PRECISIONS = (FP32, FP16)

_MAIN_DOMAIN = ("", "ai.onnx")

#: Standard nodes that turn features into values of a different meaning; an island ends at them.
_CONTRACTIONS = {
    *("Conv", "ConvTranspose", "DeformConv", "Gemm", "MatMul", "Einsum", "Attention"),
    *("LSTM", "GRU", "RNN"),
}

#: Nodes that read the shape of a value, not the value.
_SHAPES = {"Shape", "Size"}

#: Standard nodes -> positions of the inputs that are coordinates.
_COORDINATES: dict[str, tuple[int, ...]] = {"GridSample": (1,)}

#: Standard nodes that f16 features pass through, with the positions of their feature inputs (None:
#: all).
_CARRIERS: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), None),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Concat", "Max", "Min", "PRelu", "Clip"), None),
    **dict.fromkeys(("LeakyRelu", "Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Softmax"), (0,)),
    **dict.fromkeys(("Slice", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze"), (0,)),
    **dict.fromkeys(("Gather", "Expand", "Flatten", "Identity", "Resize", "Tile"), (0,)),
    **dict.fromkeys(("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"), (0,)),
    "Pad": (0, 2),
    "BatchNormalization": None,
}


def to_half(model: onnx.ModelProto) -> None:
    """Store the features of `model` in f16, in place; functions are attached afterwards.

    Raises:
        ExportError: A node of domain `cineflow` has no row in `cineflow.export.ops`.
    """
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
        positions = _feature_positions(node) if is_feature else ()
        for position, name in enumerate(node.input):
            wants_half = position in positions
            if not name:
                continue
            if wants_half and name in constants:
                node.input[position] = _half_constant(graph, constants[name])
            elif wants_half and name not in half_values:
                node.input[position] = cast(name, TensorProto.FLOAT16)
            elif not wants_half and name in half_values and name in producer:
                node.input[position] = cast(name, TensorProto.FLOAT)
        for graph_inside in subgraphs_of(node):
            for inner in every_node(graph_inside.node):
                for position, name in enumerate(inner.input):
                    if name in half_values:
                        inner.input[position] = cast(name, TensorProto.FLOAT)
        nodes.append(node)
    for value in graph.output:
        if value.name in half_values:
            raise AssertionError(f"{value.name} is a result and must be on the island")
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused_constants(graph)
    # The types of the intermediate values changed; the checker infers them again.
    del graph.value_info[:]


def precision_of(model: onnx.ModelProto) -> str:
    """Storage type of the features: the narrowest of all weights, values, inputs and outputs."""
    kinds: set[int] = set()
    for graph in every_graph(inferred(model).graph):
        kinds |= set(_types_in(graph).values())
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
        positions = _feature_positions(node)
        if not positions or node.output[0] in island:
            continue
        if _contracts(node) or half.intersection(node.input[i] for i in positions):
            half.update(node.output)
            found.append(node)
    return found


def island_nodes(graph: onnx.GraphProto, ends: Iterable[str] | None = None) -> set[str]:
    """First outputs of the nodes that compute coordinates and results (see above).

    Nodes in branches and loop bodies are among them.

    Args:
        graph: The graph.
        ends: The values to go back from; None means all results and coordinates.
    """
    producers = _producers(graph)
    island: set[str] = set()
    seen: set[str] = set()
    if ends is None:
        ends = [*(value.name for value in graph.output), *_coordinates_in(graph)]
    open_names = list(ends)
    while open_names:
        name = open_names.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in producers.get(name, ()):
            island.add(node.output[0])
            if _contracts(node) or node.op_type in _SHAPES:
                continue
            open_names.extend(node.input)
            open_names.extend(v.name for inner in subgraphs_of(node) for v in inner.output)
    return island


def _producers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """What makes each value: two branches may use one name, and a loop feeds its body's inputs."""
    producers: dict[str, list[onnx.NodeProto]] = {}
    for node in every_node(graph.node):
        fed = [value.name for inner in subgraphs_of(node) for value in inner.input]
        for name in (*node.output, *fed):
            producers.setdefault(name, []).append(node)
    return producers


def _coordinates_in(graph: onnx.GraphProto) -> list[str]:
    return [name for node in every_node(graph.node) for name in coordinates_of(node)]


def coordinates_of(node: onnx.NodeProto) -> list[str]:
    """Inputs of `node` that are coordinates or flow.

    Raises:
        ExportError: The node is of domain `cineflow`, and has no row in `cineflow.export.ops` or
            the wrong number of inputs.
    """
    if (row := row_of(node)) is not None:
        given = row.inputs_of(node)
        return [given[name] for name in row.coordinates]
    positions = _COORDINATES.get(node.op_type, ()) if node.domain in _MAIN_DOMAIN else ()
    # The onnx checker reports a standard node without its inputs.
    return [node.input[position] for position in positions if position < len(node.input)]


def _contracts(node: onnx.NodeProto) -> bool:
    row = row_of(node)
    return row.contracts if row is not None else node.op_type in _CONTRACTIONS


def _feature_positions(node: onnx.NodeProto) -> tuple[int, ...]:
    """Inputs of `node` that may be f16 features; () where its result may not be one."""
    if (row := row_of(node)) is not None:
        return () if row.makes_bytes(node) else row.positions(row.features)
    positions = _CARRIERS.get(node.op_type, ())
    every = tuple(range(len(node.input)))
    return every if positions is None else tuple(i for i in positions if i in every)


#: Types below f32, by their name in messages.
_LOW = {int(TensorProto.FLOAT16): "f16", int(TensorProto.BFLOAT16): "bf16"}


def low_precision_coordinates(model: onnx.ModelProto) -> list[str]:
    """One sentence for each coordinate or flow that `model` samples at and stores below f32."""
    graph = inferred(model).graph
    findings = [
        f"{node.op_type} {node.name} samples at coordinates in {_LOW[types[name]]}"
        for node, types in _typed_nodes(graph, {})
        for name in coordinates_of(node)
        if types.get(name) in _LOW
    ]
    # Between a contraction and the coordinate that it produces, all values keep f32.
    island = island_nodes(model.graph, _coordinates_in(model.graph))
    return findings + [f"{said}, on the way to a coordinate" for said in _low(graph, island)]


def low_precision_results(model: onnx.ModelProto) -> dict[str, str]:
    """Output -> where it is computed below f32, from its last contraction on; others left out."""
    graph, types = inferred(model).graph, value_types(model)
    found = {}
    for value in model.graph.output:
        if low := _low(graph, island_nodes(model.graph, [value.name])):
            found[value.name] = low[0]
        elif types.get(value.name) in _LOW:
            found[value.name] = f"it is stored in {_LOW[types[value.name]]}"
    return found


def _low(graph: onnx.GraphProto, island: set[str]) -> list[str]:
    return [
        f"{node.op_type} {node.name} computes in {_LOW[types[name]]}"
        for node, types in _typed_nodes(graph, {})
        if node.output[0] in island and node.op_type != "Cast"
        for name in node.output
        if types.get(name) in _LOW
    ]


def _typed_nodes(
    graph: onnx.GraphProto, outside: Mapping[str, int]
) -> Iterator[tuple[onnx.NodeProto, Mapping[str, int]]]:
    """Every node of a graph, its branches and its loop bodies, with the types that it sees.

    Args:
        graph: The graph, with inferred types.
        outside: Types of the values of the graphs around it.
    """
    types = {**outside, **_types_in(graph)}
    for node in graph.node:
        yield node, types
        for inner in subgraphs_of(node):
            yield from _typed_nodes(inner, types)


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value of the main graph whose type can be inferred."""
    return _types_in(inferred(model).graph)


def _types_in(graph: onnx.GraphProto) -> dict[str, int]:
    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {item.name: item.data_type for item in graph.initializer}


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
    used = {name for node in graph.node for name in names_read_by(node)}
    used |= {value.name for value in graph.output}  # an output may be a constant
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
