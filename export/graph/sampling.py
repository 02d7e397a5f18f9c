"""How the GridSample nodes of a graph sample, and the one name that runtimes misread.

TensorRT 10, TensorRT 11.1 and TensorRT-RTX before 1.6 read `mode="linear"` of opset 20 as nearest,
without an error. Linear is the default, and every parser reads a node without a mode as linear. So
our graphs never name it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import onnx
import onnx.inliner

#: First opset that says "linear"; the name was "bilinear" before, which every parser knows.
LINEAR_SINCE = 20

_STANDARD = ("", "ai.onnx")

#: Names of the modes before opset 20.
_OLDER_NAMES = {"bilinear": "linear", "bicubic": "cubic"}


class Sampling(NamedTuple):
    """What one GridSample node does.

    Attributes:
        mode: "linear", "nearest" or "cubic".
        padding: "zeros", "border" or "reflection".
        align_corners: Whether -1 and 1 are the centres of the corner pixels, not their outer edges.
    """

    mode: str = "linear"
    padding: str = "zeros"
    align_corners: bool = False

    def __str__(self) -> str:
        return f"{self.mode}, {self.padding}, align_corners={int(self.align_corners)}"


def leave_linear_unnamed(model: onnx.ModelProto) -> int:
    """Remove `mode="linear"`, the default, from every GridSample; returns how many had it."""
    found = list(_named_linear(model))
    for node in found:
        kept = [item for item in node.attribute if item.name != "mode"]
        del node.attribute[:]
        node.attribute.extend(kept)
    return len(found)


def named_linear(model: onnx.ModelProto) -> list[str]:
    """Names of the GridSample nodes that name the mode linear, functions included."""
    return [node.name or node.output[0] for node in _named_linear(model)]


def sampling_of(model: onnx.ModelProto) -> Counter[Sampling]:
    """How often `model` samples in each way, with the functions that it calls."""
    inlined = onnx.inliner.inline_local_functions(model)
    return Counter(_sampling(node) for node in _grid_samples(inlined.graph.node))


def _sampling(node: onnx.NodeProto) -> Sampling:
    given = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    mode = given.get("mode", b"linear").decode()
    return Sampling(
        _OLDER_NAMES.get(mode, mode),
        given.get("padding_mode", b"zeros").decode(),
        bool(given.get("align_corners", 0)),
    )


def _named_linear(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    parts = [(model.graph.node, model.opset_import)]
    parts += [(function.node, function.opset_import) for function in model.functions]
    for nodes, opsets in parts:
        version = max((o.version for o in opsets if o.domain in _STANDARD), default=0)
        if version < LINEAR_SINCE:
            continue
        for node in _grid_samples(nodes):
            if any(item.name == "mode" and item.s == b"linear" for item in node.attribute):
                yield node


def _grid_samples(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The GridSample nodes, also those of branches and loop bodies."""
    for node in nodes:
        if node.op_type == "GridSample" and node.domain in _STANDARD:
            yield node
        for item in node.attribute:
            for graph in (*item.graphs, *([item.g] if item.HasField("g") else [])):
                yield from _grid_samples(graph.node)
