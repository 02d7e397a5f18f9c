"""The ops as torch operators, `torch.ops.cineflow.*`: safe under torch.compile and torch.export.

Importing this module imports torch and registers them; `cineflow.ops` does so when it first meets
a torch tensor.
"""

from __future__ import annotations

from typing import Any

import torch

from cineflow import _C
from cineflow.ops.arrays import current_stream, empty_output, is_clamp

_library: Any = torch.library.Library("cineflow", "DEF")  # type: ignore[no-untyped-call]
_library.define("warp(Tensor src, Tensor flow, str border='zeros') -> Tensor")


def _empty_warp(src: torch.Tensor, flow: torch.Tensor, border: str = "zeros") -> torch.Tensor:
    # Also the fake kernel: shape, dtype and strides are those of the real result.
    result: torch.Tensor = empty_output(
        src, (src.shape[0], src.shape[1], flow.shape[2], flow.shape[3])
    )
    return result


def _warp(src: torch.Tensor, flow: torch.Tensor, border: str = "zeros") -> torch.Tensor:
    out = _empty_warp(src, flow)
    _C.warp(src.detach(), flow.detach(), out, is_clamp(border), current_stream(src))
    return out


_library.impl("warp", _warp, "CPU")
_library.impl("warp", _warp, "CUDA")
torch.library.register_fake("cineflow::warp", _empty_warp, lib=_library)

#: torch.ops.cineflow.warp(src, flow, border="zeros") -> Tensor; see `cineflow.ops.warp`.
warp = torch.ops.cineflow.warp
