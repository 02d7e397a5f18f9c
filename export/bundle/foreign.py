"""An ONNX file from elsewhere, made to say what its spec says: names, order, unnamed sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from cineflow.errors import ExportError
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.spec import ModelSpec, TensorSpec


def rename_values(model: onnx.ModelProto, renamed: Mapping[str, str]) -> None:
    """Give inputs and outputs of `model` other names.

    Args:
        model: The graph, changed in place.
        renamed: Name in the file -> new name.

    Raises:
        ExportError: The file has no such input or output, or has the new name already.
    """
    graph = model.graph
    border = [value.name for value in (*graph.input, *graph.output)]
    inner = {name for node in graph.node for name in node.output}
    for old, new in renamed.items():
        taken = new != old and new in {*border, *inner} - set(renamed)
        if old not in border or taken:
            raise ExportError(
                f"an input or output {old} in the file, to be called {new}",
                f"{border}" + (f", where {new} is a different value" if taken else ""),
                "Correct in_file, or input and output of the state, in the spec",
            )
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = renamed.get(value.name, value.name)
    _rename_in(graph.node, renamed)


def _rename_in(nodes: Sequence[onnx.NodeProto], renamed: Mapping[str, str]) -> None:
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        for item in node.attribute:
            for graph in (*item.graphs, *([item.g] if item.HasField("g") else [])):
                _rename_in(graph.node, renamed)
                for value in (*graph.output, *graph.value_info):
                    value.name = renamed.get(value.name, value.name)


def follow_spec(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Put inputs and outputs into the order of the spec, and name the sizes that have no name.

    A size without a number and without a name takes those of the spec. Everything else is left as
    it is, and `require_interface` compares it.
    """
    for values, tensors in (
        (model.graph.input, graph_inputs(spec)),
        (model.graph.output, graph_outputs(spec)),
    ):
        by_name = {value.name: value for value in values}
        if by_name.keys() == {tensor.name for tensor in tensors}:
            ordered = [onnx.ValueInfoProto.FromString(by_name[t.name].SerializeToString())
                       for t in tensors]  # fmt: skip
            del values[:]
            values.extend(ordered)
        for value in values:
            for tensor in tensors:
                if tensor.name == value.name:
                    _name_sizes(value, tensor)


def _name_sizes(value: onnx.ValueInfoProto, tensor: TensorSpec) -> None:
    sizes = value.type.tensor_type.shape.dim
    if len(sizes) != len(tensor.shape):
        return
    for size, wanted in zip(sizes, tensor.shape, strict=True):
        if size.HasField("dim_value") or size.dim_param:
            continue
        if isinstance(wanted, int):
            size.dim_value = wanted
        else:
            size.dim_param = wanted.name
