"""Our ops as ONNX nodes of domain `cineflow`: one file per op, which holds all the exporter knows.

    warp.py, correlation.py, ...   one op each: its row `OP`, and the text of its body
    _operator.py                   `Operator`, the type of a row
    _registry.py                   finds the rows; `row_of` is how the other rooms read them
    _attach.py                     gives a graph the bodies of the ops that it uses
    _nodes.py                      walks a graph with its branches and loop bodies
    _text.py, _sample.py, ...      text that several bodies share

An exported graph names the op (`cineflow::Warp`) and carries a model-local function of that name. A
runtime with our op library runs the kernel; any other runtime runs the function's body of standard
operators. The bodies follow the kernels' rules: coordinates in pixels and f32, pixel centres at
integers, a non-finite coordinate contributes 0, a huge finite one is outside, products and sums in
f32.

To add an op, copy `csrc/template/python/export/identity.py` to this folder under the op's name.
"""

from cineflow.export.ops._attach import attach_bodies, inferred
from cineflow.export.ops._nodes import (
    every_graph,
    every_node,
    every_node_of,
    names_read_by,
    subgraphs_of,
)
from cineflow.export.ops._operator import DOMAIN, Operator
from cineflow.export.ops._registry import OPERATORS, row_of, translation_table, unknown_ops
from cineflow.export.ops._text import OPSET

__all__ = [
    "DOMAIN",
    "OPERATORS",
    "OPSET",
    "Operator",
    "attach_bodies",
    "every_graph",
    "every_node",
    "every_node_of",
    "inferred",
    "names_read_by",
    "row_of",
    "subgraphs_of",
    "translation_table",
    "unknown_ops",
]
