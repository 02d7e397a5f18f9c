"""Runs a declared op on the arrays of whichever library the caller uses."""

from __future__ import annotations

from typing import Any

from cineflow.ops.arrays import Array, shared_kind
from cineflow.ops.operator import Operator


def run(op: Operator, *arguments: Any, out: Array | None = None) -> Array:
    """Compute `op` for its schema's arguments: into `out`, or into a new array.

    Raises:
        ArgumentError: Kinds, ranks, shapes, dtypes or devices do not fit.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    tensors = arguments[: len(op.axes)]
    kind = shared_kind(op.names, tensors if out is None else (*tensors, out))
    if kind == "torch":
        from cineflow.ops import torch_library  # imports torch

        if out is None:
            return torch_library.call(op, arguments)
        torch_library.fill(op, out, arguments)
        return out
    if out is None:
        op.require_ranks(arguments)
        out = op.allocate(*arguments)
    op.fill(out, *arguments)
    return out
