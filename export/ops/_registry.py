"""The rows of all ops, found in this folder: a file per op, named as the op is in torch."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx

from cineflow.errors import ExportError
from cineflow.export.ops._nodes import every_node_of
from cineflow.export.ops._operator import DOMAIN, Operator


def _find_rows() -> dict[str, Operator]:
    """`OP` of every module whose name does not start with `_`, by node type."""
    rows = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("_"):
            continue
        row = getattr(importlib.import_module(f"{__package__}.{module.name}"), "OP", None)
        if not isinstance(row, Operator):
            raise TypeError(f"export/ops/{module.name}.py must define OP = Operator(...)")
        if row.torch_name != module.name:
            raise TypeError(f"{row.name} belongs in export/ops/{row.torch_name}.py")
        rows[row.name] = row
    return rows


#: Node type -> row.
OPERATORS: Mapping[str, Operator] = _find_rows()


def row_of(node: onnx.NodeProto) -> Operator | None:
    """The row of a node of ours; None for a node of any other domain.

    Raises:
        ExportError: The node is of domain `cineflow` and has no row.
    """
    if node.domain != DOMAIN:
        return None
    row = OPERATORS.get(node.op_type) or _variants().get(node.op_type)
    if row is None:
        raise ExportError(
            f"an op of {', '.join(sorted(OPERATORS))}",
            f"{DOMAIN}::{node.op_type}",
            f"Add its row to export/ops, or use a cineflow that has {node.op_type}",
        )
    return row


def _variants() -> dict[str, Operator]:
    """The rows of the node types that are a second or further body of an op."""
    return {name: row for row in OPERATORS.values() for name in row.node_types[1:]}


def unknown_ops(model: onnx.ModelProto) -> list[str]:
    """Node types of domain `cineflow` anywhere in `model` that have no row, sorted."""
    ours = {node.op_type for node in every_node_of(model) if node.domain == DOMAIN}
    return sorted(ours - set(OPERATORS) - set(_variants()))


def translation_table() -> dict[Any, Callable[..., Any]]:
    """Torch op -> translation, for `torch.onnx.export(custom_translation_table=...)`."""
    import torch

    import cineflow.ops.torch_library  # noqa: F401  registers torch.ops.cineflow

    return {
        getattr(torch.ops.cineflow, op.torch_name).default: op.translation()
        for op in OPERATORS.values()
    }
