"""Check, inline and count an ONNX graph, and compare its interface with a spec."""

from __future__ import annotations

from collections import Counter

import onnx
import onnx.inliner

from cineflow.errors import ExportError
from cineflow.export.ops import DOMAIN
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.spec import ModelSpec, TensorSpec


def check_model(model: onnx.ModelProto, name: str) -> None:
    """Run the onnx checker with full shape inference.

    Args:
        model: The graph.
        name: Of the graph, for the message.

    Raises:
        ExportError: The checker's complaint.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"{name} to pass the onnx checker",
            str(error),
            "This is a fault of cineflow or of the exporter: report it with the recipe",
        ) from error


def inline(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without functions, for tools that cannot read them.

    Raises:
        ExportError: The inlined graph does not pass the onnx checker.
    """
    inlined = onnx.inliner.inline_local_functions(model)
    kept = [opset for opset in inlined.opset_import if opset.domain != DOMAIN]
    del inlined.opset_import[:]
    inlined.opset_import.extend(kept)
    check_model(inlined, "the inlined graph")
    return inlined


def operator_counts(model: onnx.ModelProto) -> dict[str, int]:
    """Nodes per operator of the main graph, most frequent first; ours as `cineflow::X`."""
    names = [
        f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        for node in model.graph.node
    ]
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def output_sizes(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    """Sizes of each output: numbers where they follow from static inputs, else the file's symbols.

    An exporter may write symbols for sizes that its own static inputs decide.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.Clear()
    try:
        found = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph.output
    except onnx.shape_inference.InferenceError:  # the checker's rule names it
        found = model.graph.output
    return {
        value.name: [
            new.dim_value if new.HasField("dim_value") else old.dim_param or old.dim_value
            for old, new in zip(
                value.type.tensor_type.shape.dim, other.type.tensor_type.shape.dim, strict=False
            )
        ]
        for value, other in zip(model.graph.output, found, strict=True)
    }


def require_interface(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Raise `ExportError` unless inputs and outputs have the spec's names, types and shapes."""
    for side, values, tensors in (
        ("input", model.graph.input, graph_inputs(spec)),
        ("output", model.graph.output, graph_outputs(spec)),
    ):
        sizes = output_sizes(model) if side == "output" else {}
        found = [_describe(value, sizes.get(value.name)) for value in values]
        wanted = [_describe_spec(tensor) for tensor in tensors]
        if found != wanted:
            raise ExportError(
                f"{side}s {wanted}, as in the spec of {spec.name}",
                f"{found}",
                "Make the module and its ModelSpec agree in order, dtype, sizes and axis names",
            )


def _describe(value: onnx.ValueInfoProto, sizes: list[int | str] | None) -> str:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    own = [d.dim_param or d.dim_value for d in kind.shape.dim]
    return f"{value.name}: {dtype} {own if sizes is None else sizes}"


def _describe_spec(tensor: TensorSpec) -> str:
    shape = [dim if isinstance(dim, int) else dim.name for dim in tensor.shape]
    return f"{tensor.name}: {tensor.dtype} {shape}"
