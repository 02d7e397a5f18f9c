"""The ops as torch operators, `torch.ops.cineflow.*`: safe under torch.compile and torch.export.

Importing this module imports torch and registers them; `cineflow.ops` does so when it first meets
a torch tensor. What allocates a result is also the fake kernel: shape, dtype and strides are those
of the real result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cineflow.ops.operator import Operator

_library: Any = torch.library.Library("cineflow", "DEF")
_registered: dict[str, Any] = {}


def operator(name: str) -> Any:
    """The torch operator of a declared `Operator`; registered when first asked for."""
    if name not in _registered:
        _registered[name] = _register(Operator.declared[name])
    return _registered[name]


def _register(op: Operator) -> Any:
    def run(*arguments: Any) -> Tensor:
        out: Tensor = op.allocate(*arguments)
        # DLPack refuses tensors that require a gradient.
        op.fill(out, *(item.detach() if isinstance(item, Tensor) else item for item in arguments))
        return out

    _library.define(op.schema)
    for device in ("CPU", "CUDA"):
        _library.impl(op.name, run, device)
    torch.library.register_fake(f"cineflow::{op.name}", op.allocate, lib=_library)
    return getattr(torch.ops.cineflow, op.name)


for _name in Operator.declared:
    operator(_name)
