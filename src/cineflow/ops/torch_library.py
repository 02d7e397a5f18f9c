"""The ops as torch operators, `torch.ops.cineflow.*`: safe under torch.compile and torch.export.

Importing this module imports torch and registers the operators. `cineflow.ops` imports it at the
first torch tensor. The function that allocates a result is also the fake kernel, so shape, dtype
and strides are those of the real result. The operators have no gradients; a backward pass raises.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from cineflow.errors import ArgumentError
from cineflow.ops.operator import Operator

_library: Any = torch.library.Library("cineflow", "DEF")
_registered: dict[str, Any] = {}


def operator(name: str) -> Any:
    """The torch operator of a declared `Operator`, registered on first use."""
    if name not in _registered:
        _registered[name] = _register(Operator.declared[name])
    return _registered[name]


def fill(op: Operator, out: Tensor, arguments: tuple[Any, ...]) -> None:
    """Write the op's result into the caller's `out` without torch's dispatcher.

    Raises:
        ArgumentError: `out` is not plain memory, or the arguments do not fit.
    """
    for refused, wanted, got in (
        (out.requires_grad, "out that requires no gradient", "one that requires it"),
        (out.is_neg(), "out with its own values", "the imaginary part of a conjugate"),
        (out.is_meta, "out on the CPU or a CUDA device", "one on meta"),
    ):
        if refused:
            raise ArgumentError(wanted, got, "Make it with torch.empty.")
    _require_one_device((*op.axes, "out"), (*arguments[: len(op.axes)], out))
    op.fill(out, *map(_plain, arguments))


def _plain(argument: Any) -> Any:
    """A tensor that DLPack can export: without gradient, a pending negation applied."""
    return argument.detach().resolve_neg() if isinstance(argument, Tensor) else argument


def _require_one_device(names: tuple[str, ...], tensors: tuple[Tensor, ...]) -> None:
    first = tensors[0].device
    for name, tensor in zip(names, tensors, strict=True):
        if tensor.device != first:
            raise ArgumentError(f"every tensor on {first}", f"{name} on {tensor.device}")


def _register(op: Operator) -> Any:
    names = tuple(op.axes)

    def allocate(*arguments: Any) -> Tensor:
        op.require_ranks(arguments)
        _require_one_device(names, arguments[: len(names)])
        out: Tensor = op.allocate(*arguments)
        return out

    def run(*arguments: Any) -> Tensor:
        out = allocate(*arguments)
        op.fill(out, *map(_plain, arguments))
        return out

    def backward(*_: Any) -> NoReturn:
        raise ArgumentError(
            f"no gradient of cineflow::{op.name}",
            "a backward pass through it",
            "The ops are for inference: detach their inputs, or train with torch's own operators.",
        )

    _library.define(op.schema)
    for device in ("CPU", "CUDA"):
        _library.impl(op.name, run, device)
    name = f"cineflow::{op.name}"
    torch.library.register_fake(name, allocate, lib=_library)
    torch.library.register_autograd(name, backward, lib=_library)
    return getattr(torch.ops.cineflow, op.name)


for _name in Operator.declared:
    operator(_name)
