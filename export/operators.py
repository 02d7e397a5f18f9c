"""Our ops as ONNX nodes of domain `cineflow`, each with a body of standard operators.

An exported graph names the op (`cineflow::Warp`) and carries a model-local function of that name.
A runtime with our op library runs the kernel; any other runs the body. A body is written for the
attributes that the graph uses: its structure depends on them (radius), or they are words. Nor can
standard operators say "f32 where the images are bytes, else their own type", so it is also written
for what its images are.

To add an op: one row in `OPERATORS`, one body in `bodies/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx

from cineflow.errors import ExportError
from cineflow.export import bodies

DOMAIN = "cineflow"
DOMAIN_VERSION = 1

_BY_NAME = "Call the op by cineflow.ops, which names every argument"

_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(bfloat16)")
_F32 = "tensor(float)"

#: Value of an attribute, or the kind of one that a node must have.
Attribute: TypeAlias = str | int | float | type[int] | type[float]


@dataclass(frozen=True)
class Operator:
    """One of our ops on the ONNX side.

    Attributes:
        name: Node type in domain `cineflow`.
        torch_name: Name under `torch.ops.cineflow`.
        inputs: Formal inputs as (name, type); "S" is the images' or features' own type.
        attributes: Attribute name -> default, or kind where it is required; the order is the torch
            op's argument order.
        body: Writes the function's text for one set of attribute values.
        doc: One sentence.
        referenced: Attributes that the body refers to by name, so that nodes may differ in them.
        takes_bytes: Whether "S" may be u8. The result is f32 then, else of type "S".
    """

    name: str
    torch_name: str
    inputs: tuple[tuple[str, str], ...]
    attributes: dict[str, Attribute]
    body: Callable[..., str]
    doc: str
    referenced: tuple[str, ...] = ()
    takes_bytes: bool = False

    def schema(self) -> onnx.defs.OpSchema:
        """The schema that names types and attributes for the exporter."""
        formal = onnx.defs.OpSchema.FormalParameter
        return onnx.defs.OpSchema(
            self.name,
            DOMAIN,
            DOMAIN_VERSION,
            self.doc,
            inputs=[formal(name, kind) for name, kind in self.inputs],
            outputs=[formal("out", "T")],
            type_constraints=[
                ("S", [*_FLOATS, *(["tensor(uint8)"] if self.takes_bytes else [])], "Images"),
                ("T", list(_FLOATS), "S, but f32 for bytes"),
            ],
            attributes=[_formal_attribute(*item) for item in self.attributes.items()],
        )

    def translation(self) -> Callable[..., Any]:
        """What the dynamo exporter calls for the torch op: one opaque node."""
        from onnxscript import values

        node = values.Op(values.Opset(DOMAIN, DOMAIN_VERSION), self.name, self.schema())
        tensors = len(self.inputs)
        names = list(self.attributes)
        defaults = {k: v for k, v in self.attributes.items() if not isinstance(v, type)}

        def translate(*args: Any, **kwargs: Any) -> Any:
            given = defaults | dict(zip(names, args[tensors:], strict=False)) | kwargs
            return node(*args[:tensors], **{k: self._typed(k, v) for k, v in given.items()})

        return translate

    def _typed(self, name: str, value: Any) -> Any:
        """An argument of the torch op as the schema wants it: torch gives a bool for a flag."""
        default = self.attributes[name]
        kind = default if isinstance(default, type) else type(default)
        if not isinstance(value, (str, int, float)):
            raise ExportError(
                f"{DOMAIN}::{self.name} with a number for {name}",
                "a size that an input decides",
                "Fix that axis: a number in the spec, or --size",
            )
        return kind(value)

    def strangers(self, node: onnx.NodeProto) -> list[str]:
        """Attributes of `node` that the op does not have; a kernel never asks for them."""
        return [item.name for item in node.attribute if item.name not in self.attributes]

    def function(self, node: onnx.NodeProto, from_bytes: bool = False) -> onnx.FunctionProto:
        """The body for `node`'s attribute values.

        Args:
            node: A node of this op.
            from_bytes: Whether its images are u8.

        Raises:
            ExportError: The op has no body for these attributes, or one is missing or unknown.
        """
        if strangers := self.strangers(node):
            raise ExportError(
                f"{DOMAIN}::{self.name} with attributes of {list(self.attributes)}",
                f"{strangers}",
                _BY_NAME,
            )
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given = {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()}
        values = {k: v for k, v in (self.attributes | given).items() if k not in self.referenced}
        missing = [name for name, value in values.items() if isinstance(value, type)]
        if missing:
            raise ExportError(
                f"{DOMAIN}::{self.name} with the attributes {missing}", f"{given}", _BY_NAME
            )
        if self.takes_bytes:
            values["from_bytes"] = from_bytes
        try:
            text = self.body(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"{DOMAIN}::{self.name} with known attributes", f"{given}", _BY_NAME
            ) from error
        function = onnx.parser.parse_function(text)
        # Older runtimes want every attribute that a call carries to be declared.
        function.attribute.extend(self.attributes)
        function.doc_string = self.doc
        return function


def _formal_attribute(name: str, value: Attribute) -> onnx.defs.OpSchema.Attribute:
    if isinstance(value, type):
        kinds = {int: onnx.defs.OpSchema.AttrType.INT, float: onnx.defs.OpSchema.AttrType.FLOAT}
        return onnx.defs.OpSchema.Attribute(name, kinds[value], "Required", required=True)
    default = onnx.helper.make_attribute(name, value)
    return onnx.defs.OpSchema.Attribute(name, default, f"Default {value!r}")


_BORDER: dict[str, Attribute] = {"border": "zeros"}
_MATCH: dict[str, Attribute] = {"radius": 4, "dilation": 1, "scale": 1.0, "x_major": 0}
_POLAR: dict[str, Attribute] = {
    "rows": int,
    "columns": int,
    "first_angle": 0.0,
    "angle_step": float,
    "first_radius": 0.0,
    "radius_step": 1.0,
    "wraps": 1,
    "border": "zeros",
    "scale": 1.0,
    "offset": 0.0,
}

OPERATORS: Mapping[str, Operator] = {
    op.name: op
    for op in (
        Operator(
            name="Warp",
            torch_name="warp",
            inputs=(("src", "S"), ("flow", _F32)),
            attributes=_BORDER,
            body=bodies.warp,
            doc="out(p) = src(p + flow(p)); pixel coordinates, flow channel 0 = x, bilinear",
            takes_bytes=True,
        ),
        Operator(
            name="ComposeFlow",
            torch_name="compose_flow",
            inputs=(("displacement", _F32), ("flow", _F32)),
            attributes=_BORDER,
            body=bodies.compose_flow,
            doc="out(p) = displacement(p) + flow(p + displacement(p)); pixels, bilinear",
        ),
        Operator(
            name="Correlation",
            torch_name="correlation",
            inputs=(("f1", "S"), ("f2", "S")),
            attributes=_MATCH,
            referenced=("scale",),
            body=bodies.correlation,
            doc="out[k](p) = scale * sum over channels of f1(p) f2(p + dilation d_k); outside is 0",
        ),
        Operator(
            name="WarpCorrelation",
            torch_name="warp_correlation",
            inputs=(("f1", "S"), ("f2", "S"), ("flow", _F32)),
            attributes=_MATCH | _BORDER,
            referenced=("scale",),
            body=bodies.warp_correlation,
            doc="Correlation of f1 with f2(q + flow(q)), which is not rounded on the way",
        ),
        Operator(
            name="PolarResample",
            torch_name="polar_resample",
            inputs=(("src", "S"), ("centre", _F32)),
            attributes=_POLAR,
            referenced=("scale", "offset"),
            body=bodies.polar_resample,
            doc="out(i, j) = offset + scale src(centre + radius_j (cos angle_i, sin angle_i))",
            takes_bytes=True,
        ),
        Operator(
            name="PolarUnresample",
            torch_name="polar_unresample",
            inputs=(("src", "S"), ("centre", _F32)),
            attributes=_POLAR,
            referenced=("scale", "offset"),
            body=bodies.polar_unresample,
            doc="The Cartesian image of a polar one: the inverse of PolarResample",
            takes_bytes=True,
        ),
    )
}


def translation_table() -> dict[Any, Callable[..., Any]]:
    """Torch op -> translation, for `torch.onnx.export(custom_translation_table=...)`."""
    import torch

    import cineflow.ops.torch_library  # noqa: F401  registers torch.ops.cineflow

    return {
        getattr(torch.ops.cineflow, op.torch_name).default: op.translation()
        for op in OPERATORS.values()
    }


def attach_bodies(model: onnx.ModelProto) -> None:
    """Give `model` one function per op that it uses, and our nodes the attributes they left out.

    A body can refer to an attribute that its node has, but not to a default.

    Raises:
        ExportError: Two nodes of one op differ in attributes or in the kind of their images: a
            function has one body only.
    """
    del model.functions[:]
    seen: dict[str, onnx.FunctionProto] = {}
    bytes_in = _byte_values(model)
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        if node.op_type not in OPERATORS:
            raise ExportError(
                f"an op of {sorted(OPERATORS)}", f"{DOMAIN}::{node.op_type}", "Use cineflow.ops"
            )
        operator = OPERATORS[node.op_type]
        function = operator.function(node, node.input[0] in bytes_in)
        given = {item.name for item in node.attribute}
        node.attribute.extend(
            onnx.helper.make_attribute(name, value)
            for name, value in operator.attributes.items()
            if name not in given
        )
        if seen.setdefault(node.op_type, function) != function:
            raise ExportError(
                f"all {DOMAIN}::{node.op_type} nodes of one graph with the same attributes",
                f"node {node.name} differs from an earlier one",
                "Use one border, radius, grid and order throughout the module, and images of one "
                "kind (bytes, or floating point)",
            )
    model.functions.extend(seen[name] for name in sorted(seen))


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the types of its values; as it is where they cannot be inferred at all.

    A node of a domain without a version stops inference; the lint's checker rule names it.
    """
    try:
        return onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        return model


def _byte_values(model: onnx.ModelProto) -> set[str]:
    """Names of the u8 values. What lies behind a node of ours is not inferred, nor is it u8."""
    graph = inferred(model).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
    kinds |= {item.name: item.data_type for item in graph.initializer}
    return {name for name, kind in kinds.items() if kind == onnx.TensorProto.UINT8}
