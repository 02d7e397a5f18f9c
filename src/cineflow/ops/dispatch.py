"""Runs a declared op on the arrays of whichever library the caller uses."""

from __future__ import annotations

from typing import Any

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import Array, all_numpy, shared_kind
from cineflow.ops.held import run_there, stays
from cineflow.ops.operator import Operator


def run(
    op: Operator, *arguments: Any, out: Array | None = None, workspace: Array | None = None
) -> Array:
    """Compute `op` for its schema's arguments: into `out`, or into a new array.

    `workspace` is for callers that keep the memory of an op on a GPU from call to call, such as a
    CUDA graph: [op.workspace(*arguments)] float32.

    Raises:
        ArgumentError: Kinds, ranks, shapes, dtypes or devices do not fit.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    tensors = arguments[: len(op.axes)]
    given = tensors if out is None else (*tensors, out)
    if all_numpy(given):
        return _run(op, arguments, out)
    if workspace is not None:
        return _run_within(op, arguments, out, workspace)
    at_once = Operator.needs_no_dispatcher
    if at_once is not None and at_once(op, given):
        return _run(op, arguments, out)
    if any(map(stays, given)):
        if out is not None:
            raise ArgumentError(f"no out for {op.name} of arrays that are held on a card", "one")
        more = arguments[len(tensors) :]
        return run_there(lambda *there: run(op, *there), tensors, *more)
    kind = shared_kind(op.names, given, op.by_value)
    if kind == "torch":
        from cineflow.ops import torch_library  # imports torch

        if out is None:
            return torch_library.call(op, arguments)
        torch_library.fill(op, out, arguments)
        return out
    if kind == "cupy":
        # CuPy allocates on the current device, and its current stream is that device's.
        with tensors[0].device:
            return _run(op, arguments, out)
    return _run(op, arguments, out)


def _run(op: Operator, arguments: tuple[Any, ...], out: Array | None) -> Array:
    if out is None:
        op.require_ranks(arguments)
        out = op.allocate(*arguments)
    op.fill(out, *arguments)
    return out


def _run_within(
    op: Operator, arguments: tuple[Any, ...], out: Array | None, workspace: Array
) -> Array:
    """As `_run`, in memory of the caller's, for an op that needs some on a GPU."""
    if out is None:
        op.require_ranks(arguments)
        out = op.allocate(*arguments)
    op.fill(out, *arguments, workspace=workspace)
    return out


def cuda_architectures() -> str:
    """GPU architectures that our kernels have code for ("80"); empty in a build without CUDA."""
    return _C.cuda_architectures()
