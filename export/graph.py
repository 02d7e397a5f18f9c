"""A torch module as one ONNX graph: traced, named after the spec, checked.

The file's content depends on the module and the versions only: names are counted, not inherited
from the tracer, and no path of the building machine stays inside.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx.inliner

from cineflow.errors import ExportError, MissingDependencyError
from cineflow.export import bodies, operators
from cineflow.export import precision as precisions
from cineflow.export.recipe import ANYTHING
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.spec import Axis, ModelSpec, TensorSpec

if TYPE_CHECKING:
    import onnx_ir
    import torch

#: File format that opset 20 and model-local functions need; newer ones shut older runtimes out.
IR_VERSION = 10


def trace(
    module: torch.nn.Module,
    spec: ModelSpec,
    examples: Mapping[str, torch.Tensor],
    precision: str = precisions.FP32,
) -> onnx.ModelProto:
    """Translate `module` to a checked ONNX model with the spec's names and dynamic axes.

    Args:
        module: In eval mode; `forward` takes the graph's inputs in order.
        spec: Names, shapes and axes of the border.
        examples: One tensor per graph input; sizes of dynamic axes should all differ.
        precision: "fp16" stores features in half precision; see `cineflow.export.precision`.

    Raises:
        MissingDependencyError: torch or onnxscript is not installed.
        ExportError: The module cannot be traced for all the sizes of the spec, or uses an operator
            without translation, or its outputs are not those of the spec.
    """
    try:
        import torch

        table = operators.translation_table()
        import onnxscript  # noqa: F401  the exporter needs it; named here before a long trace
    except ImportError as error:
        raise MissingDependencyError(
            "torch, onnx and onnxscript", str(error), "`pip install cineflow[export]`"
        ) from error
    axes = _AxisDims(spec)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(examples.values()),
                dynamo=True,
                opset_version=bodies.OPSET,
                custom_translation_table=table,
                dynamic_shapes=[axes.dynamic_shape(tensor) for tensor in graph_inputs(spec)],
                input_names=[tensor.name for tensor in graph_inputs(spec)],
                output_names=[tensor.name for tensor in graph_outputs(spec)],
                verbose=False,
            )
    except ANYTHING as error:  # torch itself raises dozens of types from tracing
        raise _refusal(spec, error) from error
    assert program is not None  # dynamo=True always returns a program
    _name_values(program.model.graph)
    model = program.model_proto
    _strip(model)
    axes.rename(model)
    require_border(model, spec)
    if precision == precisions.FP16:
        precisions.to_half(model)
    operators.attach_bodies(model)
    check(model, spec.name)
    return model


def check(model: onnx.ModelProto, name: str) -> None:
    """The onnx checker with full shape inference.

    Raises:
        ExportError: The checker's complaint.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"{name} to pass the onnx checker",
            str(error),
            "This is a fault of cineflow's or of the exporter's: report it with the recipe",
        ) from error


def inline(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without functions, for tools that cannot read them."""
    inlined = onnx.inliner.inline_local_functions(model)
    kept = [opset for opset in inlined.opset_import if opset.domain != operators.DOMAIN]
    del inlined.opset_import[:]
    inlined.opset_import.extend(kept)
    check(inlined, "the inlined graph")
    return inlined


def operator_counts(model: onnx.ModelProto) -> dict[str, int]:
    """Nodes per operator of the main graph, most frequent first; ours as `cineflow::X`."""
    names = [
        f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        for node in model.graph.node
    ]
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


class _AxisDims:
    """Dynamic axes of a spec as torch dims and as ONNX symbols.

    torch proves for a dim `16*h` that it divides by 16, so pyramids need no run-time shape
    arithmetic. In the file the axis itself carries its plain name ("height").
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._dims: dict[str, Any] = {}
        self._symbols: dict[str, str] = {}
        for tensor in graph_inputs(spec):
            for axis in tensor.axes:
                self._add(axis)

    def _add(self, axis: Axis) -> None:
        import torch

        if axis.name in self._dims:
            return
        if axis.multiple == 1:
            self._dims[axis.name] = torch.export.Dim(axis.name, min=axis.minimum, max=axis.maximum)
            return
        symbol = f"{axis.name}_{axis.multiple}"
        unit = torch.export.Dim(
            symbol, min=-(-axis.minimum // axis.multiple), max=axis.maximum // axis.multiple
        )
        self._dims[axis.name] = axis.multiple * unit
        self._symbols[f"{axis.multiple}*{symbol}"] = axis.name

    def dynamic_shape(self, tensor: TensorSpec) -> dict[int, Any]:
        return {
            position: self._dims[dim.name]
            for position, dim in enumerate(tensor.shape)
            if isinstance(dim, Axis)
        }

    def rename(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in self._symbols:
                    dim.dim_param = self._symbols[dim.dim_param]


def _name_values(graph: onnx_ir.Graph) -> None:
    """Name nodes and intermediate values by operator and count ("conv_3"), constants by count."""
    # By identity: the tracer's own names may be those of the spec ("view", "add").
    border = {id(value) for value in (*graph.inputs, *graph.outputs)}
    counts: Counter[str] = Counter()

    def fresh(kind: str) -> str:
        counts[kind] += 1
        return f"{kind}_{counts[kind]}"

    for node in graph:
        node.name = fresh(node.op_type.lower())
        for position, value in enumerate(node.outputs):
            if id(value) not in border:
                value.name = f"{node.name}_out" + (f"_{position}" if position else "")
    for value in list(graph.initializers.values()):
        # Parameters keep their name in the module ("estimator.0.weight"): it has a dot or is a
        # buffer; the tracer's own constants ("val_37") do not last from one version to the next.
        if value.name is not None and value.name.startswith("val_"):
            value.name = fresh("constant")


def _strip(model: onnx.ModelProto) -> None:
    """Remove the tracer's notes: they hold stack traces with paths of this machine."""
    model.ir_version = IR_VERSION
    model.producer_name = "cineflow"
    model.producer_version = ""
    model.doc_string = ""
    model.graph.name = "main"
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    everything = (
        *model.graph.node, *model.graph.input, *model.graph.output,
        *model.graph.value_info, *model.graph.initializer,
    )  # fmt: skip
    for item in everything:
        item.doc_string = ""
        del item.metadata_props[:]


def require_border(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Raise `ExportError` unless inputs and outputs have the spec's names, types and shapes."""
    for side, values, tensors in (
        ("input", model.graph.input, graph_inputs(spec)),
        ("output", model.graph.output, graph_outputs(spec)),
    ):
        found = [_describe(value) for value in values]
        wanted = [_describe_spec(tensor) for tensor in tensors]
        if found != wanted:
            raise ExportError(
                f"{side}s {wanted}, as the spec of {spec.name} says",
                f"{found}",
                "Make the module and its ModelSpec agree in order, dtype, sizes and axis names",
            )


def _describe(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return f"{value.name}: {dtype} {[d.dim_param or d.dim_value for d in kind.shape.dim]}"


def _describe_spec(tensor: TensorSpec) -> str:
    shape = [dim.name if isinstance(dim, Axis) else dim for dim in tensor.shape]
    return f"{tensor.name}: {tensor.dtype} {shape}"


def _refusal(spec: ModelSpec, error: BaseException) -> ExportError:
    """The exporter's failure in few words: it wraps the cause in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error)
    if unknown := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", text):
        return ExportError(
            f"{spec.name} of operators that ONNX has",
            f"{unknown[1]}, which the exporter cannot translate",
            "Write that step with other operators (convolutions, products, sums), or move it out "
            "of the model",
        )
    said = text.partition("Caused by:")[0].split()
    line = re.search(r'File "([^"]+)", line (\d+), in \w+\n\s*(.+)', text)
    where = f" (line {line[2]} of {Path(line[1]).name}: {line[3].strip()})" if line else ""
    return ExportError(
        f"{spec.name} to trace for every size of its spec",
        f"{type(error).__name__}: {' '.join(said)[:400]}{where}",
        "Sizes may not decide the control flow, and tensor values never: use torch.where in place "
        "of `if`, and a fixed number of iterations",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's progress, its dumps of a graph that fails, and its warnings."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # torch's loggers have levels and handlers of their own
    unread = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(unread),
            contextlib.redirect_stderr(unread),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
