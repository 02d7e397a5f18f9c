"""The nodes of a graph, including those of its branches and loop bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx


def subgraphs_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The branches or loop bodies of `node`, as they are stored."""
    return [
        graph
        for attribute in node.attribute
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))
    ]


def every_graph(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """`graph`, and all branches and loop bodies in it at any depth."""
    yield graph
    for node in graph.node:
        for inner in subgraphs_of(node):
            yield from every_graph(inner)


def every_node(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and those of their branches and loop bodies at any depth."""
    for node in nodes:
        yield node
        for graph in subgraphs_of(node):
            yield from every_node(graph.node)


def every_node_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All nodes of a model, those of its functions included."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        yield from every_node(nodes)


def names_read_by(node: onnx.NodeProto) -> list[str]:
    """The values that `node` reads: its inputs, and what its branches read from outside."""
    graphs = [inner for graph in subgraphs_of(node) for inner in every_graph(graph)]
    inside = {value.name for graph in graphs for value in (*graph.input, *graph.initializer)}
    inside |= {name for graph in graphs for inner in graph.node for name in inner.output}
    read = [name for graph in graphs for inner in graph.node for name in inner.input]
    read += [value.name for graph in graphs for value in graph.output]
    return [name for name in (*node.input, *(n for n in read if n not in inside)) if name]
