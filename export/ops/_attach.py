"""Give a graph the bodies of the ops that it uses."""

from __future__ import annotations

import onnx

from cineflow.errors import ExportError
from cineflow.export.ops._nodes import every_graph, every_node
from cineflow.export.ops._operator import DOMAIN
from cineflow.export.ops._registry import OPERATORS, row_of

#: Rank of a value that nothing tells: an image's.
_IMAGE_RANK = 4


def attach_bodies(model: onnx.ModelProto) -> None:
    """Give `model` one function per op that it uses, and our nodes their default attributes.

    A body can refer to an attribute that its node has, but not to a default.

    Raises:
        ExportError: An op has no row or no body for its attributes, a node has the wrong number of
            inputs, or the nodes of one op differ in attributes, in the kind of their images or in
            their rank, so that they need more bodies than the op may have variants.
    """
    del model.functions[:]
    seen: dict[str, list[onnx.FunctionProto]] = {}
    bytes_in, ranks = _known_values(model)
    for node in every_node(model.graph.node):
        row = row_of(node)
        if row is None:
            continue
        given_inputs = list(row.inputs_of(node).values())
        # Inputs of an op that takes volumes all have the rank of the result, so one is enough.
        rank = next((ranks[name] for name in given_inputs if name in ranks), _IMAGE_RANK)
        if row.takes_volumes:
            ranks.setdefault(node.output[0], rank)
        from_bytes = bool(given_inputs) and given_inputs[0] in bytes_in
        if row.makes_bytes(node):
            bytes_in.add(node.output[0])
        function = row.function(node, from_bytes, axes=rank - 2)
        given = {item.name for item in node.attribute}
        node.attribute.extend(
            onnx.helper.make_attribute(name, value)
            for name, value in row.attributes.items()
            if name not in given
        )
        bodies = seen.setdefault(row.name, [])
        if function not in bodies:
            bodies.append(function)
        if len(bodies) > row.variants:
            raise ExportError(
                f"all {DOMAIN}::{row.name} nodes of one graph with the same attributes"
                if row.variants == 1
                else f"at most {row.variants} kinds of {DOMAIN}::{row.name} in one graph",
                f"node {node.name} differs from an earlier one",
                "Use one border, radius, grid and order throughout the module, and images of one "
                "kind (bytes or floating point, images or volumes)",
            )
        # A function of its own name for each body: parsers find functions by their name.
        node.op_type = row.node_types[bodies.index(function)]
    for name, bodies in sorted(seen.items()):
        for index, function in enumerate(bodies):
            named = model.functions.add()
            named.CopyFrom(function)
            named.name = OPERATORS[name].node_types[index]


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the types of its values; `model` itself where inference fails.

    A node of a domain without a version stops inference; the lint's checker rule names it.
    """
    try:
        return onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        return model


def _known_values(model: onnx.ModelProto) -> tuple[set[str], dict[str, int]]:
    """Names of the u8 values, and the ranks that are known.

    The output of one of our nodes is not inferred. The caller adds it.
    """
    kinds: dict[str, int] = {}
    ranks: dict[str, int] = {}
    for graph in every_graph(inferred(model).graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            kinds[value.name] = tensor.elem_type
            if tensor.HasField("shape"):
                ranks[value.name] = len(tensor.shape.dim)
        kinds |= {item.name: item.data_type for item in graph.initializer}
        ranks |= {item.name: len(item.dims) for item in graph.initializer}
    return {name for name, kind in kinds.items() if kind == onnx.TensorProto.UINT8}, ranks
