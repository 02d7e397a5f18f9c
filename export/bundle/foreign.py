"""An ONNX file from elsewhere, made to say what its spec says: names, order and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from cineflow.errors import ExportError
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.spec import ModelSpec, TensorSpec
from cineflow.spec.axes import Dim


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
    """Put inputs and outputs into the order of the spec, and name their sizes as it does.

    A size without a number and without a name takes those of the spec. A name of the file's own
    (`h4`, `height//4`) becomes the one that the spec has there (`height / 4`), everywhere: runs at
    several sizes prove later that it is that size. A name that the spec gives to another size, and
    one that stands for two sizes of the spec, are left as they are, and `require_interface` refuses
    them.
    """
    sides = (
        (model.graph.input, graph_inputs(spec)),
        (model.graph.output, graph_outputs(spec)),
    )
    for values, tensors in sides:
        by_name = {value.name: value for value in values}
        if by_name.keys() == {tensor.name for tensor in tensors}:
            ordered = [onnx.ValueInfoProto.FromString(by_name[t.name].SerializeToString())
                       for t in tensors]  # fmt: skip
            del values[:]
            values.extend(ordered)
    sizes = [
        pair
        for values, tensors in sides
        for value in values
        for tensor in tensors
        if tensor.name == value.name
        for pair in _paired(value, tensor)
    ]
    renamed = _symbols(sizes)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in renamed:
                size.dim_param = renamed[size.dim_param]
    for size, wanted in sizes:
        if size.HasField("dim_value") or size.dim_param:
            continue
        if isinstance(wanted, int):
            size.dim_value = wanted
        else:
            size.dim_param = wanted.name


def _paired(
    value: onnx.ValueInfoProto, tensor: TensorSpec
) -> list[tuple[onnx.TensorShapeProto.Dimension, Dim]]:
    """Each size of a value with that of the spec; none where the ranks differ."""
    sizes = value.type.tensor_type.shape.dim
    same = len(sizes) == len(tensor.shape)
    return list(zip(sizes, tensor.shape, strict=True)) if same else []


def _symbols(sizes: Sequence[tuple[onnx.TensorShapeProto.Dimension, Dim]]) -> dict[str, str]:
    """Names of sizes in the file -> in the spec, for those that the file alone has."""
    ours = {dim.name for _, dim in sizes if not isinstance(dim, int)}
    meant: dict[str, set[str]] = {}
    for size, dim in sizes:
        if size.dim_param and size.dim_param not in ours:
            meant.setdefault(size.dim_param, set()).add("" if isinstance(dim, int) else dim.name)
    return {
        theirs: next(iter(names))
        for theirs, names in meant.items()
        if len(names) == 1 and "" not in names
    }
