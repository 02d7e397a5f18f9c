"""Our ops as ONNX nodes of domain `cineflow`, each with a body of standard operators.

An exported graph names the op (`cineflow::Warp`) and carries a model-local function of that name.
A runtime with our op library runs the kernel; any other runs the body. A body is written for the
attributes that the graph uses: its structure depends on them (radius), or they are words.

To add an op: one row in `OPERATORS`, one body in `bodies.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from cineflow.errors import ExportError
from cineflow.export import bodies

DOMAIN = "cineflow"
DOMAIN_VERSION = 1

_FEATURES = ("T", ["tensor(float)", "tensor(float16)", "tensor(bfloat16)"], "Stored features")


@dataclass(frozen=True)
class Operator:
    """One of our ops on the ONNX side.

    Attributes:
        name: Node type in domain `cineflow`.
        torch_name: Name under `torch.ops.cineflow`.
        inputs: Formal inputs as (name, type).
        attributes: Attribute name -> default; the order is the torch op's argument order.
        body: Writes the function's text for one set of attribute values.
        doc: One sentence.
        referenced: Attributes that the body refers to by name, so that nodes may differ in them.
    """

    name: str
    torch_name: str
    inputs: tuple[tuple[str, str], ...]
    attributes: dict[str, str | int | float]
    body: Callable[..., str]
    doc: str
    referenced: tuple[str, ...] = ()

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
            type_constraints=[_FEATURES],
            attributes=[
                onnx.defs.OpSchema.Attribute(
                    name, onnx.helper.make_attribute(name, default), f"Default {default!r}"
                )
                for name, default in self.attributes.items()
            ],
        )

    def translation(self) -> Callable[..., Any]:
        """What the dynamo exporter calls for the torch op: one opaque node."""
        from onnxscript import values

        node = values.Op(values.Opset(DOMAIN, DOMAIN_VERSION), self.name, self.schema())
        tensors = len(self.inputs)
        names = list(self.attributes)

        def translate(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(names, args[tensors:], strict=False)) | kwargs
            # The schema says what kind a number is: torch gives a bool for a flag.
            typed = {k: type(self.attributes[k])(v) for k, v in (self.attributes | given).items()}
            return node(*args[:tensors], **typed)

        return translate

    def function(self, node: onnx.NodeProto) -> onnx.FunctionProto:
        """The body for `node`'s attribute values.

        Raises:
            ExportError: The op has no body for these values.
        """
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given = {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()}
        values = {k: v for k, v in (self.attributes | given).items() if k not in self.referenced}
        try:
            text = self.body(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(f"{DOMAIN}::{self.name} with known attributes", f"{given}") from error
        function = onnx.parser.parse_function(text)
        # Older runtimes want every attribute that a call carries to be declared.
        function.attribute.extend(self.attributes)
        function.doc_string = self.doc
        return function


OPERATORS: Mapping[str, Operator] = {
    op.name: op
    for op in (
        Operator(
            name="Warp",
            torch_name="warp",
            inputs=(("src", "T"), ("flow", "tensor(float)")),
            attributes={"border": "zeros"},
            body=bodies.warp,
            doc="out(p) = src(p + flow(p)); pixel coordinates, flow channel 0 = x, bilinear",
        ),
        Operator(
            name="Correlation",
            torch_name="correlation",
            inputs=(("f1", "T"), ("f2", "T")),
            attributes={"radius": 4, "dilation": 1, "scale": 1.0, "x_major": 0},
            referenced=("scale",),
            body=bodies.correlation,
            doc="out[k](p) = scale * sum over channels of f1(p) f2(p + dilation d_k); outside is 0",
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
        if hasattr(torch.ops.cineflow, op.torch_name)
    }


def attach_bodies(model: onnx.ModelProto) -> None:
    """Give `model` one function per op that it uses.

    Raises:
        ExportError: Two nodes of one op differ in attributes: a function has one body only.
    """
    del model.functions[:]
    seen: dict[str, onnx.FunctionProto] = {}
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        if node.op_type not in OPERATORS:
            raise ExportError(f"an op of {sorted(OPERATORS)}", f"{DOMAIN}::{node.op_type}")
        function = OPERATORS[node.op_type].function(node)
        if seen.setdefault(node.op_type, function) != function:
            raise ExportError(
                f"all {DOMAIN}::{node.op_type} nodes of one graph with the same attributes",
                f"node {node.name} differs from an earlier one",
                "Use one border, radius, scale and order throughout the module",
            )
    model.functions.extend(seen[name] for name in sorted(seen))
