"""`Operator`: the row of an op, which says everything that the exporter knows about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import onnx

from cineflow.errors import ExportError

DOMAIN = "cineflow"
DOMAIN_VERSION = 1

#: Type of an input that is always f32. "S" is the type of the images or features, see `Operator`.
F32_TENSOR = "tensor(float)"

_FLOATS = (F32_TENSOR, "tensor(float16)", "tensor(bfloat16)")
_BYTES = "tensor(uint8)"

_BY_NAME = "Call the op through cineflow.ops, which names every argument"

#: Value of an attribute, or its type where a node must give it.
Attribute: TypeAlias = str | int | float | type[int] | type[float]

Shape: TypeAlias = tuple[int, ...]

#: Shapes of a node's inputs, by the names in the row.
InputShapes: TypeAlias = Mapping[str, Shape]


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One op on the ONNX side.

    Attributes:
        name: Node type in domain `cineflow`.
        doc: One sentence or formula.
        inputs: Name and type of each input. "S" is the type of the images or features, which the
            result shares (but f32 for bytes); `F32_TENSOR` is always f32.
        body: Writes the ONNX text of the function for one set of attribute values.
        shape: Shape of the output, from the shapes of the inputs and the attributes.
        multiply_adds: Arithmetic of one call, from the shapes of the inputs and of the output.
        attributes: Name -> default, or type where a node must give it; in the order of the torch
            op's arguments.
        referenced: Attributes that the body refers to by name, so nodes of one graph may differ in
            them.
        takes_bytes: Whether "S" may be u8. `body` then takes the argument `from_bytes`.
        gives_bytes: Whether the result is u8 where the attribute `to_bytes` is 1.
        takes_volumes: Whether the inputs may be volumes [N, C, D, H, W]. `body` then takes the
            argument `axes`, 2 or 3.
        coordinates: Inputs that are positions or flow. They stay in f32.
        features: Inputs that may be stored in half precision.
        contracts: Whether the result has a different meaning than the features (a correlation). A
            single-precision island ends there; see `cineflow.export.graph.half`.
        sampled: The input that the body passes to GridSample; "" where it has no GridSample.
            Targets limit its rank.
        variants: Most bodies that one graph may have, for nodes that differ in attributes. The
            second is a function "<name>_2", and so on; the op library knows these names.
    """

    name: str
    doc: str
    inputs: tuple[tuple[str, str], ...]
    body: Callable[..., str]
    shape: Callable[[InputShapes, Mapping[str, Any]], Shape]
    multiply_adds: Callable[[InputShapes, Shape], int]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    referenced: tuple[str, ...] = ()
    takes_bytes: bool = False
    gives_bytes: bool = False
    takes_volumes: bool = False
    coordinates: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    contracts: bool = False
    sampled: str = ""
    variants: int = 1

    def __post_init__(self) -> None:
        kinds = dict(self.inputs)
        sampled = [self.sampled] if self.sampled else []
        named = {*self.coordinates, *self.features, *sampled}
        if unknown := named - set(kinds):
            raise ValueError(f"{self.name} has no input {', '.join(sorted(unknown))}")
        if narrow := [name for name in self.coordinates if kinds[name] != F32_TENSOR]:
            raise ValueError(f"{self.name}: the coordinates {', '.join(narrow)} must be f32")
        if fixed := [name for name in self.features if kinds[name] != "S"]:
            raise ValueError(f'{self.name}: the features {", ".join(fixed)} must be of type "S"')

    @property
    def torch_name(self) -> str:
        """Name under `torch.ops.cineflow`, and of the op's file: "WarpFlow" -> "warp_flow"."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()

    @property
    def node_types(self) -> tuple[str, ...]:
        """The types of its nodes: its name, and those of its variants."""
        more = (f"{self.name}_{index}" for index in range(2, self.variants + 1))
        return (self.name, *more)

    def positions(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Positions of some inputs of this op, in their order."""
        return tuple(i for i, (name, _) in enumerate(self.inputs) if name in names)

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
                ("S", [*_FLOATS, *([_BYTES] if self.takes_bytes else [])], "Images"),
                (
                    "T",
                    [*_FLOATS, *([_BYTES] if self.gives_bytes else [])],
                    "S, but f32 for bytes; bytes where `to_bytes` is 1",
                ),
            ],
            attributes=[_formal_attribute(*item) for item in self.attributes.items()],
        )

    def translation(self) -> Callable[..., Any]:
        """What the dynamo exporter calls for the torch op; it makes one opaque node."""
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
        """An argument of the torch op in the schema's type: torch passes a bool for a flag."""
        default = self.attributes[name]
        kind = default if isinstance(default, type) else type(default)
        if not isinstance(value, (str, int, float)):
            raise ExportError(
                f"{DOMAIN}::{self.name} with a number for {name}",
                "a size that depends on an input",
                "Fix that axis: a number in the spec, or --size",
            )
        return kind(value)

    def unknown_attributes(self, node: onnx.NodeProto) -> list[str]:
        """Attributes of `node` that the op does not have; a kernel never reads them."""
        return [item.name for item in node.attribute if item.name not in self.attributes]

    def attributes_of(self, node: onnx.NodeProto) -> dict[str, Any]:
        """Every attribute of `node`, defaults included, in the order of the row.

        Raises:
            ExportError: A required attribute is missing.
        """
        given = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        given = {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()}
        values = {**self.attributes, **given}
        if missing := [name for name, value in values.items() if isinstance(value, type)]:
            raise ExportError(
                f"{DOMAIN}::{self.name} with the attributes {missing}", f"{given}", _BY_NAME
            )
        return values

    def inputs_of(self, node: onnx.NodeProto) -> dict[str, str]:
        """The value that `node` passes as each input, by the names in the row.

        Raises:
            ExportError: The node has the wrong number of inputs.
        """
        names = [name for name, _ in self.inputs]
        if len(node.input) != len(names):
            raise ExportError(
                f"{DOMAIN}::{self.name} with the inputs {', '.join(names)}",
                f"{len(node.input)} inputs",
                _BY_NAME,
            )
        return dict(zip(names, node.input, strict=True))

    def makes_bytes(self, node: onnx.NodeProto) -> bool:
        """Whether the result of `node` is u8."""
        return self.gives_bytes and bool(self.attributes_of(node)["to_bytes"])

    def output_shape(self, node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> Shape:
        """Shape of the output of `node`; () where the shape of an input is not known.

        Args:
            node: A node of this op.
            shapes: Known shapes by value name.

        Raises:
            ExportError: The node has the wrong number of inputs.
        """
        known = self._input_shapes(node, shapes)
        return self.shape(known, self.attributes_of(node)) if all(known.values()) else ()

    def cost(self, node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
        """Multiply-adds of `node`; 0 where a shape is not known. Arguments as `output_shape`."""
        known, out = self._input_shapes(node, shapes), shapes.get(node.output[0], ())
        return self.multiply_adds(known, out) if out and all(known.values()) else 0

    def _input_shapes(self, node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> InputShapes:
        return {name: shapes.get(value, ()) for name, value in self.inputs_of(node).items()}

    def function(
        self, node: onnx.NodeProto, from_bytes: bool = False, axes: int = 2
    ) -> onnx.FunctionProto:
        """The model-local function for the attribute values of `node`.

        Args:
            node: A node of this op.
            from_bytes: Whether its images are u8.
            axes: 2 for images, 3 for volumes.

        Raises:
            ExportError: The op has no body for these attributes, or one is missing or unknown.
        """
        if unknown := self.unknown_attributes(node):
            raise ExportError(
                f"{DOMAIN}::{self.name} with attributes of {list(self.attributes)}",
                f"{unknown}",
                _BY_NAME,
            )
        given = self.attributes_of(node)
        values = {name: value for name, value in given.items() if name not in self.referenced}
        if self.takes_bytes:
            values["from_bytes"] = from_bytes
        if self.takes_volumes:
            values["axes"] = axes
        try:
            text = self.body(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"{DOMAIN}::{self.name} with known attributes", f"{given}", _BY_NAME
            ) from error
        function = onnx.parser.parse_function(text)
        # Older runtimes require that every attribute of a call is declared.
        function.attribute.extend(self.attributes)
        function.doc_string = self.doc
        return function


def _formal_attribute(name: str, value: Attribute) -> onnx.defs.OpSchema.Attribute:
    if isinstance(value, type):
        kinds = {int: onnx.defs.OpSchema.AttrType.INT, float: onnx.defs.OpSchema.AttrType.FLOAT}
        return onnx.defs.OpSchema.Attribute(name, kinds[value], "Required", required=True)
    default = onnx.helper.make_attribute(name, value)
    return onnx.defs.OpSchema.Attribute(name, default, f"Default {value!r}")
