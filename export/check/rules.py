"""The rules of the lint, one function each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx
from onnx import TensorProto

from cineflow.errors import ExportError
from cineflow.export.check.findings import ERROR, WARNING, Finding
from cineflow.export.check.targets import MISREAD_LINEAR, TARGETS, target_findings
from cineflow.export.graph.half import low_precision_coordinates, low_precision_results
from cineflow.export.graph.model import output_sizes
from cineflow.export.graph.sampling import named_linear
from cineflow.export.ops import (
    DOMAIN,
    Operator,
    every_node,
    every_node_of,
    names_read_by,
    row_of,
    unknown_ops,
)
from cineflow.spec import ModelSpec, Role
from cineflow.spec.tensors import MOTION_UNITS

Rule = Callable[[onnx.ModelProto], Iterator[Finding]]


def fed_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that a caller must feed: those without a stored default."""
    stored = {item.name for item in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in stored]


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    """Sizes of a value: numbers, symbols, "?" where the file gives none."""
    return [
        dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?")
        for dim in value.type.tensor_type.shape.dim
    ]


def _checker(model: onnx.ModelProto) -> Iterator[Finding]:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        said = str(error).strip().splitlines()[0][:300].rstrip(".")
        yield Finding(
            ERROR,
            "checker",
            f"the onnx checker refuses the graph: {said}",
            "Export it again with a current exporter, or fix the node that is named",
        )


def _unused_inputs(model: onnx.ModelProto) -> Iterator[Finding]:
    producer = {name: node for node in model.graph.node for name in node.output}
    seen: set[str] = set()
    open_names = [value.name for value in model.graph.output]
    while open_names:
        name = open_names.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in producer:
            open_names.extend(names_read_by(producer[name]))
    for value in fed_inputs(model):
        if value.name not in seen:
            yield Finding(
                ERROR,
                "unused-input",
                f"no output depends on the input {value.name!r}",
                "Remove it; or, if two inputs were given one example tensor, which merges them, "
                "give each its own and export again",
            )


def _dynamic_outputs_over_static_inputs(model: onnx.ModelProto) -> Iterator[Finding]:
    inputs = fed_inputs(model)
    if not all(value.type.tensor_type.HasField("shape") for value in inputs):
        return  # their sizes are missing, which the checker reports
    symbols = {dim for value in inputs for dim in dims(value) if isinstance(dim, str)}
    for value in model.graph.output:
        loose = [dim for dim in dims(value) if isinstance(dim, str) and dim not in symbols]
        if not loose:
            continue
        words = ", ".join(loose)
        if not symbols:
            sizes = output_sizes(model)[value.name]
            if any(isinstance(size, str) or size == 0 for size in sizes):
                continue  # values decide it (`value-sized`), or the shape is not known
            yield Finding(
                WARNING,
                "static-inputs",
                f"the output {value.name!r} claims dynamic sizes ({words}) but every input is "
                f"static ({'; '.join(f'{i.name} {dims(i)}' for i in inputs)}): it is always "
                f"{sizes}",
                "If the sizes should be dynamic, correct the names in the exporter's dynamic axes "
                "and export again; else give these sizes in the spec",
            )
        elif not any(symbol in dim for dim in loose for symbol in symbols):
            yield Finding(
                WARNING,
                "unknown-output-size",
                f"no input has the sizes {words} of the output {value.name!r}",
                "Name the axis of the input that decides it, or fix the size",
            )


def _tracer_names(model: onnx.ModelProto) -> Iterator[Finding]:
    for value in (*fed_inputs(model), *model.graph.output):
        stem = value.name.split("::")[-1].split(".")[0].split("_")[0].lower()
        if "::" in value.name or "." in value.name or value.name.isdigit():
            yield Finding(
                WARNING,
                "tracer-name",
                f"{value.name!r} ({stem}) is a name that the exporter made up",
                "Pass input_names and output_names; the exporter silently drops the axes of a "
                "misspelt name",
            )


def state_pairs(model: onnx.ModelProto, spec: ModelSpec | None) -> Iterator[Finding]:
    """Inputs and outputs that carry a state: their order, shape and precision.

    With a spec these are its states. Without one they are guessed from the names (`h_in`, `h_out`);
    `image_in` and `image_out` look the same and are not a state, so nothing here is an error then.
    """
    inputs = {value.name: value for value in fed_inputs(model)}
    outputs = {value.name: value for value in model.graph.output}
    if spec is not None:
        names = [(f"{state.name}_in", f"{state.name}_out") for state in spec.states]
        pairs = [(inputs[i], outputs[o]) for i, o in names if i in inputs and o in outputs]
    else:
        sides = [
            {_state_stem(name): value for name, value in side.items() if _state_stem(name)}
            for side in (inputs, outputs)
        ]
        pairs = [(sides[0][stem], sides[1][stem]) for stem in sides[0] if stem in sides[1]]
    severity = WARNING if spec is None else ERROR
    unless = "if these are states, " if spec is None else ""
    orders = [sorted(pairs, key=lambda pair: pair[side].name) for side in (0, 1)]
    if orders[0] != orders[1]:
        names_in, names_out = (
            [pair[side].name for pair in order] for side, order in enumerate(orders)
        )
        yield Finding(
            severity,
            "state-order",
            f"{unless}they sort as {names_in} on the input side and as {names_out} on the output "
            "side; Triton pairs them by that order and swaps them",
            "Name both sides with the same stem first: <state>_in and <state>_out",
        )
    unless = "if this is a state, " if spec is None else ""
    for one, other in pairs:
        if dims(one) != dims(other) or one.type != other.type:
            yield Finding(
                severity,
                "state-shape",
                f"{unless}{one.name} {dims(one)} comes back as {other.name} {dims(other)}",
                "A state must keep its shape and type from call to call",
            )
        if {one.type.tensor_type.elem_type, other.type.tensor_type.elem_type} & _HALVES:
            yield Finding(
                severity,
                "state-precision",
                f"{unless}{one.name} is kept in half precision: motion composed in it over a "
                "beat loses accuracy with every frame",
                "Keep states in f32; cast inside the graph for features in half precision",
            )


_HALVES = {TensorProto.FLOAT16, TensorProto.BFLOAT16}

#: Words that mark the two sides of a state in published models.
_SIDE_WORDS = {"in", "out", "input", "output", "prev", "previous", "next", "new", "old", "0", "n"}


def _state_stem(name: str) -> str:
    """A name without the words that mark a side; "" where it has no such word."""
    words = name.replace(".", "_").replace("-", "_").split("_")
    stem = [word for word in words if word.lower() not in _SIDE_WORDS]
    return "_".join(stem) if stem and len(stem) < len(words) else ""


def _coordinates(model: onnx.ModelProto) -> Iterator[Finding]:
    for message in low_precision_coordinates(model):
        yield Finding(
            ERROR,
            "coordinate-precision",
            f"{message}: 0.03 px off at 800 px, and it adds up over a beat",
            "Keep coordinates and flow in f32, and cast the features instead",
        )


def low_precision(model: onnx.ModelProto, spec: ModelSpec | None) -> Iterator[Finding]:
    """Outputs that are computed below f32: an error where the spec says that they carry motion.

    Labels, scores and probabilities lose nothing that matters, and verify measures it.
    """
    severities = None if spec is None else _severities(spec)
    for name, where in low_precision_results(model).items():
        severity = WARNING if severities is None else severities.get(name)
        if severity is None:
            continue
        yield Finding(
            severity,
            "result-precision",
            f"the output {name!r} is computed in half precision ({where})"
            + (": it is" if severity == ERROR else ": if it is motion or a point, it is")
            + " 0.03 px off at 800 px",
            "Cast to f32 before the last convolution or product of an output in pixels",
        )


def _severities(spec: ModelSpec) -> dict[str, str]:
    """How bad half precision is in outputs that are motion or points, and in states.

    A state without a unit of motion holds features, as far as its spec says.
    """
    roles = (Role.FLOW, Role.DISPLACEMENT, Role.POINTS)
    outputs = {one.name for one in spec.outputs if one.role in roles or one.unit == "px"}
    states = {
        f"{one.name}_out": ERROR if one.unit in MOTION_UNITS else WARNING for one in spec.states
    }
    return dict.fromkeys(outputs, ERROR) | states


def _unguarded_sampling(model: onnx.ModelProto) -> Iterator[Finding]:
    nodes = list(every_node(model.graph.node))
    producer = {name: node for node in nodes for name in node.output}
    guards = {"Where", "Clip", "IsNaN", "Min", "Max"}
    for node in nodes:
        if node.op_type != "GridSample" or len(node.input) < 2:
            continue  # the checker reports a node without its grid
        before = producer.get(node.input[1])
        chain = 0
        while before is not None and before.op_type not in guards and chain < 4:
            before, chain = producer.get(before.input[0]) if before.input else None, chain + 1
        if before is None or before.op_type not in guards:
            yield Finding(
                WARNING,
                "unguarded-grid",
                f"GridSample {node.name!r} takes its grid unguarded: for NaN or 1e20 ONNX Runtime "
                "returns some image pixel, torch 0 or NaN",
                "Warp with cineflow.ops.warp in the module, which exports with the guard",
            )


def _named_mode(model: onnx.ModelProto) -> Iterator[Finding]:
    if found := named_linear(model):
        more = f" and {len(found) - 1} more name" if len(found) > 1 else " names"
        yield Finding(
            ERROR,
            "grid-mode",
            f'GridSample {found[0]!r}{more} the mode "linear", which {MISREAD_LINEAR} read as '
            "nearest, without an error",
            "Leave the mode out: linear is the default. `cineflow export` and `cineflow import` do "
            "so",
        )


#: Element type of an input or output -> rule, what is wrong with it, what to do.
_UNSERVED = {
    TensorProto.DOUBLE: (
        "float64",
        "is float64, which TensorRT does not take",
        "Convert the module and its inputs with .float() before the export",
    ),
    TensorProto.STRING: (
        "text",
        "is text, which neither TensorRT nor a bundle takes",
        "Convert text to numbers before the model",
    ),
}


def _interface_types(model: onnx.ModelProto) -> Iterator[Finding]:
    for value in (*fed_inputs(model), *model.graph.output):
        if value.type.tensor_type.elem_type in _UNSERVED:
            rule, wrong, remedy = _UNSERVED[value.type.tensor_type.elem_type]
            yield Finding(ERROR, rule, f"{value.name!r} {wrong}", remedy)


def _unknown_ops(model: onnx.ModelProto) -> Iterator[Finding]:
    for name in unknown_ops(model):
        yield Finding(
            ERROR,
            "unknown-op",
            f"{DOMAIN}::{name} is not an op of this cineflow, so the rules about coordinates and "
            "targets were not applied",
            f"Use a cineflow that has {name}",
        )


def _wrong_inputs(model: onnx.ModelProto) -> Iterator[Finding]:
    for node in every_node_of(model):
        row = _row_of(node)
        if row is None:
            continue
        try:
            row.inputs_of(node)
        except ExportError as error:
            yield Finding(
                ERROR,
                "wrong-inputs",
                f"{DOMAIN}::{node.op_type} {node.name or node.output[0]!r} has {error.got}; "
                f"wanted {error.wanted}. The rules about coordinates and targets were not applied",
                error.remedy,
            )


def _row_of(node: onnx.NodeProto) -> Operator | None:
    """The row of a node. None for nodes of others, and without a row: another rule reports that."""
    try:
        return row_of(node)
    except ExportError:
        return None


def _ops_without_body(model: onnx.ModelProto) -> Iterator[Finding]:
    bodies = {(function.domain, function.name) for function in model.functions}
    kinds = {(n.domain, n.op_type) for n in every_node_of(model) if n.domain not in _ONNX_DOMAINS}
    for kind in sorted(kinds):
        if kind in bodies:
            continue
        ours = kind[0] == DOMAIN
        yield Finding(
            ERROR,
            "no-body",
            f"{kind[0]}::{kind[1]} has no function body, so it needs its own library",
            "Export with cineflow, which attaches the body"
            if ours
            else "Replace it with standard operators, or add a model-local function of that name",
        )


_ONNX_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}


def _unknown_attributes(model: onnx.ModelProto) -> Iterator[Finding]:
    for node in every_node_of(model):
        row = _row_of(node)
        if row is None:
            continue
        for name in row.unknown_attributes(node):
            yield Finding(
                ERROR,
                "unknown-attribute",
                f"{DOMAIN}::{node.op_type} {node.name or node.output[0]!r} has an attribute "
                f"{name!r}, which no runtime reads: it would run with a default instead",
                f"Correct it to one of {', '.join(row.attributes)}, or leave it out",
            )


def _targets(model: onnx.ModelProto) -> Iterator[Finding]:
    found = list(target_findings(model))
    takers = [t for t in TARGETS if not any(said.startswith(t.name) for _, said, _ in found)]
    for rule, message, remedy in found:
        yield Finding(WARNING if takers else ERROR, rule, message, remedy)


RULES_OF_ANY_GRAPH: tuple[Rule, ...] = (
    _checker,
    _unused_inputs,
    _dynamic_outputs_over_static_inputs,
    _tracer_names,
    _unguarded_sampling,
    _named_mode,
    _interface_types,
    _unknown_ops,
    _wrong_inputs,
    _ops_without_body,
    _unknown_attributes,
)

#: Findings that keep the rows of our ops from being applied.
UNREADABLE = ("unknown-op", "wrong-inputs")

#: Rules that read the row of every op of ours. They run where no finding is in `UNREADABLE`.
RULES_OF_OUR_OPS: tuple[Rule, ...] = (_coordinates, _targets)
