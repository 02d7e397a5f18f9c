"""Sizes that do not fit each other, in the words of the spec.

A runtime names the node where two sizes meet ("concat_2"). Its user knows the axes of the spec.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import onnx

from cineflow.errors import CineflowError, ExportError
from cineflow.export.graph.footprint import shapes_at
from cineflow.runtime.bundle import graph_inputs
from cineflow.spec import ModelSpec, TensorSpec

#: Nodes whose inputs are broadcast to one shape.
_BROADCASTING = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "Where", "And", "Or"}
    | {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}
)


@contextmanager
def sizes_explained(
    model: onnx.ModelProto, spec: ModelSpec, *tried: Mapping[str, int]
) -> Iterator[None]:
    """Name the axes if what runs inside fails because of them; other failures pass unchanged.

    Args:
        model: The graph that runs or is built inside.
        spec: Its spec.
        tried: Size along each dynamic axis, for every time that the graph runs.

    Raises:
        ExportError: A run or a build failed, and at one of these sizes two axes do not fit.
    """
    try:
        yield
    except CineflowError as error:
        for sizes in tried:
            if conflict := size_conflict(model, spec, sizes):
                raise ExportError(
                    f"axes of {spec.name} that fit each other at every size",
                    conflict,
                    "If one size follows from another, say so in the spec, for example with "
                    "`height / 4`",
                ) from error
        raise


def size_conflict(model: onnx.ModelProto, spec: ModelSpec, sizes: Mapping[str, int]) -> str:
    """Which inputs meet at the first node that cannot take their sizes, in words; "" if none."""
    shapes = shapes_at(model, spec, sizes)
    producers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph_inputs(spec)}
    for node in model.graph.node:
        joined = [name for name in node.input if name]
        if any(name not in shapes for name in joined):
            continue
        if not _fits(node, [shapes[name] for name in joined]):
            return f"{node.op_type} {node.name or node.output[0]} that joins " + " and ".join(
                f"{list(shapes[name])} from {_origin(name, producers, tensors, sizes)}"
                for name in joined
            )
    return ""


def _fits(node: onnx.NodeProto, shapes: Sequence[tuple[int, ...]]) -> bool:
    if node.op_type == "Concat":
        axis = next(item.i for item in node.attribute if item.name == "axis")
        axis %= len(shapes[0])
        return len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) == 1
    if node.op_type in _BROADCASTING:
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            return False
    return True


def _origin(
    name: str,
    producers: Mapping[str, onnx.NodeProto],
    tensors: Mapping[str, TensorSpec],
    sizes: Mapping[str, int],
) -> str:
    """The inputs of the graph that a value is computed from, with their axes and sizes."""
    found, seen, waiting = [], {name}, [name]
    while waiting:
        value = waiting.pop(0)
        if value in tensors:
            axes = ", ".join(f"{axis.name}={sizes[axis.name]}" for axis in tensors[value].axes)
            found.append(f"{value} ({axes})" if axes else value)
        elif value in producers:
            fresh = [one for one in producers[value].input if one and one not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
    return ", ".join(found) or "a constant"
