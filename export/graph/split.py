"""Cut a graph at our ops: engine -> our kernel -> engine, for runtimes that take no plugins.

The level of a standard node is the longest chain of our ops before it. The nodes of one level are a
segment, and the segments run in order, with our ops between them:

    segments/0.onnx, ops of level 0, segments/1.onnx, ops of level 1, ...

`segments.json` lists the steps in order; `cineflow.runtime.segments` runs them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from cineflow.errors import ExportError
from cineflow.export.graph.model import check_model
from cineflow.export.ops import DOMAIN, every_node, names_read_by, row_of
from cineflow.runtime.segments import SEGMENTS_DIR, STEPS_FILE


@dataclass(frozen=True)
class Cut:
    """A graph in pieces.

    Attributes:
        segments: Standard graphs, by file name.
        steps: What runs, in order; the content of `segments.json`.
    """

    segments: dict[str, onnx.ModelProto]
    steps: list[dict[str, Any]]


def split_at_ops(model: onnx.ModelProto) -> Cut:
    """Cut `model` at every node of domain `cineflow`.

    Raises:
        ExportError: The graph has no such node, a node has no row in `cineflow.export.ops`, a
            branch or loop body has such a node, or the type of a value at a cut is not known.
    """
    _refuse_ops_in_branches(model.graph)
    model = _constants_as_nodes(model)
    levels = _levels(model.graph)
    ours = [node for node in model.graph.node if node.domain == DOMAIN]
    if not ours:
        raise ExportError(
            "a graph with cineflow ops to split at",
            "a graph without any",
            "Leave --split-ops out: the whole graph is one segment",
        )
    known = _value_infos(model)
    segments: dict[str, onnx.ModelProto] = {}
    steps: list[dict[str, Any]] = []
    for level in range(max(levels.values()) + 1):
        nodes = [
            node
            for node in model.graph.node
            if node.domain != DOMAIN and levels[node.output[0]] == level
        ]
        if nodes:
            name = f"{len(segments)}.onnx"
            segment = _segment(model, nodes, known, name)
            segments[name] = segment
            steps.append(
                {
                    "segment": name,
                    "inputs": [value.name for value in segment.graph.input],
                    "outputs": [value.name for value in segment.graph.output],
                }
            )
        steps += [_op_step(node) for node in ours if levels[node.output[0]] == level + 1]
    return Cut(segments, steps)


def _refuse_ops_in_branches(graph: onnx.GraphProto) -> None:
    for outer in graph.node:
        for node in every_node([outer]):
            row = row_of(node)
            if row is not None and node is not outer:
                raise ExportError(
                    "cineflow ops outside of branches and loops, where a graph can be cut",
                    f"{DOMAIN}::{row.name} in a{'n' if outer.op_type == 'If' else ''} "
                    f"{outer.op_type}",
                    "Leave --split-ops out, or move the op out of it",
                )


def write_segments(cut: Cut, directory: Path) -> list[Path]:
    """Write the pieces below a staged bundle; returns the files."""
    folder = directory / SEGMENTS_DIR
    folder.mkdir()
    files = []
    for name, segment in cut.segments.items():
        files.append(folder / name)
        files[-1].write_bytes(segment.SerializeToString(deterministic=True))
    files.append(folder / STEPS_FILE)
    files[-1].write_text(json.dumps(cut.steps, indent=1) + "\n", encoding="utf-8")
    return files


def _constants_as_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which a segment produces the stored tensors that our ops read (a polar centre)."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    stored = {item.name: item for item in graph.initializer}
    read = _ordered(
        name
        for node in graph.node
        if node.domain == DOMAIN
        for name in node.input
        if name in stored
    )
    constants = [onnx.helper.make_node("Constant", [], [name], value=stored[name]) for name in read]
    nodes = [*constants, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [item for item in graph.initializer if item.name not in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return copy


def _levels(graph: onnx.GraphProto) -> dict[str, int]:
    """Number of our ops on the longest path to each value."""
    levels: dict[str, int] = {}
    for node in graph.node:
        level = max((levels.get(name, 0) for name in names_read_by(node)), default=0)
        for name in node.output:
            levels[name] = level + (node.domain == DOMAIN)
    return levels


def _segment(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    known: dict[str, onnx.ValueInfoProto],
    name: str,
) -> onnx.ModelProto:
    """The nodes of one level as a graph: it reads what they lack and returns what is used."""
    made = {output for node in nodes for output in node.output}
    stored = {item.name: item for item in model.graph.initializer}
    read = _ordered(name for node in nodes for name in names_read_by(node))
    inside = {node.output[0] for node in nodes}
    needed = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.output[0] not in inside:
            needed.update(names_read_by(node))
    graph = onnx.helper.make_graph(
        nodes,
        name.partition(".")[0],
        inputs=[_known(known, n) for n in read if n not in made and n not in stored],
        outputs=[_known(known, n) for node in nodes for n in node.output if n in needed],
        initializer=[stored[n] for n in read if n in stored],
    )
    opsets = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    segment = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    check_model(segment, f"segment {name}")
    return segment


def _known(known: dict[str, onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    if name not in known:
        raise ExportError(
            f"the type of {name}, where the graph is cut",
            "a value without an inferred type",
            "Leave --split-ops out, or fix the sizes with --size",
        )
    return known[name]


def _value_infos(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}


def _op_step(node: onnx.NodeProto) -> dict[str, Any]:
    row = row_of(node)
    assert row is not None  # it is called for our ops only
    return {
        "op": row.name,
        "inputs": list(row.inputs_of(node).values()),
        "outputs": list(node.output),
        "attributes": row.attributes_of(node),
    }


def _ordered(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
