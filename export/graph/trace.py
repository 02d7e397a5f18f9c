"""A torch module as one ONNX graph: traced, named after the spec, checked.

The content of the file depends only on the module and the versions: values are named by counting,
not by the tracer, and no path of the building machine is kept.
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

from cineflow.errors import ExportError, MissingDependencyError
from cineflow.export import ops
from cineflow.export.graph.half import FP16, FP32, to_half
from cineflow.export.graph.model import check_model, require_interface
from cineflow.export.graph.sampling import leave_linear_unnamed
from cineflow.export.graph.weights import fold_weights
from cineflow.export.recipe import ANYTHING
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.spec import Axis, AxisPart, ModelSpec, TensorSpec
from cineflow.spec.axes import root_axis, size_of

if TYPE_CHECKING:
    import onnx_ir
    import torch

#: File format that opset 20 and model-local functions need; older runtimes refuse newer formats.
IR_VERSION = 10


def trace_module(
    module: torch.nn.Module,
    spec: ModelSpec,
    examples: Mapping[str, torch.Tensor],
    precision: str = FP32,
) -> onnx.ModelProto:
    """Translate `module` to a checked ONNX model with the spec's names and dynamic axes.

    Args:
        module: In eval mode; `forward` takes the graph's inputs in order.
        spec: Names, shapes and axes of the inputs and outputs.
        examples: One tensor per graph input; sizes of dynamic axes should all differ.
        precision: "fp16" stores features in half precision; see `cineflow.export.graph.half`.

    Raises:
        MissingDependencyError: torch or onnxscript is not installed.
        ExportError: The module cannot be traced for every size of the spec, uses an operator that
            has no translation, or its outputs differ from the spec.
    """
    try:
        import torch

        table = ops.translation_table()
        import onnxscript  # noqa: F401  the exporter needs it: fail before a long trace
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
                opset_version=ops.OPSET,
                custom_translation_table=table,
                dynamic_shapes=[axes.dynamic_shape(tensor) for tensor in graph_inputs(spec)],
                input_names=[tensor.name for tensor in graph_inputs(spec)],
                output_names=[tensor.name for tensor in graph_outputs(spec)],
                verbose=False,
            )
    except ANYTHING as error:  # tracing raises dozens of types
        raise _refusal(spec, error) from error
    assert program is not None  # dynamo=True always returns a program
    _name_values(program.model.graph)
    model = program.model_proto
    _strip(model)
    leave_linear_unnamed(model)
    fold_weights(model)
    axes.rename(model)
    _require_no_frozen_axis(model, spec, examples, program.exported_program)
    require_interface(model, spec)
    if precision == FP16:
        to_half(model)
    ops.attach_bodies(model)
    check_model(model, spec.name)
    return model


#: What torch says of a dynamic size that the module has made a constant.
_CONSTANT = re.compile(r"because (\w+) was inferred to be a constant \((\d+)\)")

#: A size that torch has worked out from another ("4*s26", "s26", "(s26//2)").
_EXPRESSION = re.compile(r"[\d*/+()\s-]*s\d+[\d*/+()\s-]*")


class _AxisDims:
    """Dynamic axes of a spec as torch dims and as ONNX symbols.

    A dim `16*h` tells torch that the size divides by 16, so pyramids need no shape arithmetic at
    run time. In the file the axis has its plain name ("height").
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._dims: dict[str, Any] = {}
        self._units: dict[str, Any] = {}  # torch's root dim of an axis with a multiple
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
        self._units[axis.name] = unit
        self._dims[axis.name] = axis.multiple * unit
        self._symbols[f"{axis.multiple}*{symbol}"] = axis.name

    def _part(self, part: AxisPart) -> str:
        """The name of a size that follows an axis, made known to torch and to the file."""
        axis = part.axis
        factor = axis.multiple * part.numerator // part.denominator
        unit = self._units.get(axis.name, self._dims[axis.name])
        self._dims[part.name] = unit if factor == 1 else factor * unit
        symbol = unit.__name__
        self._symbols[symbol if factor == 1 else f"{factor}*{symbol}"] = part.name
        return part.name

    def dynamic_shape(self, tensor: TensorSpec) -> dict[int, Any]:
        return {
            position: self._dims[dim.name if isinstance(dim, Axis) else self._part(dim)]
            for position, dim in enumerate(tensor.shape)
            if not isinstance(dim, int)
        }

    def rename(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in self._symbols:
                    dim.dim_param = self._symbols[dim.dim_param]
        # torch names the parts of an axis that only outputs have by symbols of its own. The names
        # are the spec's; the comparison with torch at several sizes proves them.
        for value, tensor in zip(graph.output, graph_outputs(self._spec), strict=False):
            for dim, wanted in zip(value.type.tensor_type.shape.dim, tensor.shape, strict=False):
                if isinstance(wanted, AxisPart) and _EXPRESSION.fullmatch(dim.dim_param):
                    dim.dim_param = wanted.name


def _require_no_frozen_axis(
    model: onnx.ModelProto, spec: ModelSpec, examples: Mapping[str, torch.Tensor], program: Any
) -> None:
    """Raise `ExportError` if an output has the traced size along an axis that should be dynamic."""
    sizes: dict[str, int] = {}
    for tensor in graph_inputs(spec):
        tensor.check(examples[tensor.name].numpy(), sizes)
    for value, tensor in zip(model.graph.output, graph_outputs(spec), strict=False):
        for dim, wanted in zip(value.type.tensor_type.shape.dim, tensor.shape, strict=False):
            axis = root_axis(wanted)
            if axis is None or not dim.HasField("dim_value") or axis.name not in sizes:
                continue
            if dim.dim_value == size_of(wanted, sizes):
                raise _frozen(spec, axis.name, sizes[axis.name], tensor.name, _line(program, dim))


def _frozen(spec: ModelSpec, axis: str, size: int, output: str, where: str) -> ExportError:
    seen = f", so that {output} always has it" if output else ""
    return ExportError(
        f"{spec.name} to trace for every {axis} of its spec",
        f"{axis} frozen at {size}, the size of the example{seen}{where}",
        f"Make coordinates with torch.arange({axis}), which keeps the size dynamic "
        "(torch.linspace does not); or fix the size with --size",
    )


def _line(program: Any, dim: onnx.TensorShapeProto.Dimension) -> str:
    """Where a tensor of a frozen size was first made (" (line 12 of mine.py: ...)"), if known."""
    for node in program.graph.nodes if program is not None else ():
        shape = getattr(node.meta.get("val"), "shape", ())
        fixed = [size for size in shape if isinstance(size, int)]
        if node.op == "call_function" and dim.dim_value in fixed:
            return _where(node.meta.get("stack_trace") or "")
    return ""


def _where(trace: str) -> str:
    """The innermost line of a stack trace outside torch (" (line 12 of mine.py: ...)")."""
    found = re.findall(r'File "([^"]+)", line (\d+), in \w+\n\s*(.+)', trace)
    own = [one for one in found if "/torch/" not in one[0]] or found
    if not own:
        return ""
    file, line, text = own[-1]
    return f" (line {line} of {Path(file).name}: {text.strip()})"


def _name_values(graph: onnx_ir.Graph) -> None:
    """Name nodes and intermediate values by operator and count ("conv_3"), constants by count."""
    # By identity: the tracer may use a name of the spec ("view", "add").
    interface = {id(value) for value in (*graph.inputs, *graph.outputs)}
    counts: Counter[str] = Counter()

    def fresh(kind: str) -> str:
        counts[kind] += 1
        return f"{kind}_{counts[kind]}"

    for node in graph:
        node.name = fresh(node.op_type.lower())
        for position, value in enumerate(node.outputs):
            if id(value) not in interface:
                value.name = f"{node.name}_out" + (f"_{position}" if position else "")
    for value in list(graph.initializers.values()):
        # Parameters and buffers keep their name in the module ("estimator.0.weight"). The names of
        # the tracer's own constants ("val_37") change from one version to the next.
        if value.name is not None and value.name.startswith("val_"):
            value.name = fresh("constant")


def _strip(model: onnx.ModelProto) -> None:
    """Remove the tracer's notes: they contain stack traces with paths of this machine."""
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


def _refusal(spec: ModelSpec, error: BaseException) -> ExportError:
    """The cause of the exporter's failure, which it wraps in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error)
    if unknown := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", text):
        return ExportError(
            f"{spec.name} made of operators that ONNX has",
            f"{unknown[1]}, which the exporter cannot translate",
            "Write that step with other operators (convolutions, products, sums), or move it out "
            "of the model",
        )
    said = text.partition("Caused by:")[0].split()
    where = _where(text)
    if constant := _CONSTANT.search(text):
        # torch's own dim of an axis by 8 counts eighths: "width_8".
        dim, size = re.sub(r"_\d+$", "", constant[1]), int(constant[2])
        named = [axis for tensor in graph_inputs(spec) for axis in tensor.axes if axis.name == dim]
        if named:
            of_unit = named[0].multiple if dim != constant[1] else 1
            return _frozen(spec, dim, size * of_unit, "", where)
    return ExportError(
        f"{spec.name} to trace for every size of its spec",
        f"{type(error).__name__}: {' '.join(said)[:400]}{where}",
        "Neither sizes nor tensor values may decide the control flow: use torch.where in place of "
        "`if`, and a fixed number of iterations",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's progress, its dumps of a graph that fails, and its warnings."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # torch's loggers set their own levels and handlers
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
