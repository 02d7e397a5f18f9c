"""The ops as torch operators, `torch.ops.cineflow.*`: safe under torch.compile and torch.export.

Importing this module imports torch and registers them; `cineflow.ops` does so when it first meets
a torch tensor. Each operator is one function that allocates its result, which is also the fake
kernel (shape, dtype and strides are those of the real result), and one that fills it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cineflow import _C
from cineflow.ops.arrays import current_stream, empty_output, is_clamp

_library: Any = torch.library.Library("cineflow", "DEF")


def _register(schema: str, allocate: Callable[..., Tensor], fill: Callable[..., None]) -> Any:
    """Register an operator; `fill(out, *arguments)` runs the kernel."""
    name = schema.partition("(")[0]

    def run(*arguments: Any) -> Tensor:
        out = allocate(*arguments)
        # DLPack refuses tensors that require a gradient.
        fill(out, *(item.detach() if isinstance(item, Tensor) else item for item in arguments))
        return out

    _library.define(schema)
    for device in ("CPU", "CUDA"):
        _library.impl(name, run, device)
    torch.library.register_fake(f"cineflow::{name}", allocate, lib=_library)
    return getattr(torch.ops.cineflow, name)


def _empty_warp(src: Tensor, flow: Tensor, border: str = "zeros") -> Tensor:
    shape = (src.shape[0], src.shape[1], flow.shape[2], flow.shape[3])
    return empty_output(src, shape)


def _fill_warp(out: Tensor, src: Tensor, flow: Tensor, border: str = "zeros") -> None:
    _C.warp(src, flow, out, is_clamp(border), current_stream(src))


def _empty_compose_flow(displacement: Tensor, flow: Tensor, border: str = "zeros") -> Tensor:
    return empty_output(displacement, displacement.shape)


def _fill_compose_flow(
    out: Tensor, displacement: Tensor, flow: Tensor, border: str = "zeros"
) -> None:
    _C.compose_flow(displacement, flow, out, is_clamp(border), current_stream(displacement))


def _empty_correlation(
    f1: Tensor, f2: Tensor, radius: int, dilation: int, scale: float, x_major: bool
) -> Tensor:
    shape = (f1.shape[0], (2 * radius + 1) ** 2, f1.shape[2], f1.shape[3])
    return empty_output(f1, shape, keep_layout=False)


def _fill_correlation(
    out: Tensor,
    f1: Tensor,
    f2: Tensor,
    radius: int,
    dilation: int,
    scale: float,
    x_major: bool,
) -> None:
    stream = current_stream(f1)
    _C.correlation(f1, f2, None, out, radius, dilation, scale, x_major, False, stream)


def _empty_warp_correlation(
    f1: Tensor,
    f2: Tensor,
    flow: Tensor,
    radius: int,
    dilation: int,
    scale: float,
    x_major: bool,
    border: str,
) -> Tensor:
    return _empty_correlation(f1, f2, radius, dilation, scale, x_major)


def _fill_warp_correlation(
    out: Tensor,
    f1: Tensor,
    f2: Tensor,
    flow: Tensor,
    radius: int,
    dilation: int,
    scale: float,
    x_major: bool,
    border: str,
) -> None:
    clamp = is_clamp(border)
    stream = current_stream(f1)
    _C.correlation(f1, f2, flow, out, radius, dilation, scale, x_major, clamp, stream)


def _empty_polar(src: Tensor, centre: Tensor, rows: int, columns: int, *_: Any) -> Tensor:
    shape = (src.shape[0], src.shape[1], rows, columns)
    return empty_output(src, shape)


def _polar_filler(kernel: Callable[..., None]) -> Callable[..., None]:
    def fill(
        out: Tensor,
        src: Tensor,
        centre: Tensor,
        rows: int,
        columns: int,
        first_angle: float,
        angle_step: float,
        first_radius: float,
        radius_step: float,
        wraps: bool,
        border: str,
        scale: float,
        offset: float,
    ) -> None:
        steps = (first_angle, angle_step, first_radius, radius_step)
        stream = current_stream(src)
        kernel(src, centre, out, *steps, wraps, is_clamp(border), scale, offset, stream)

    return fill


_POLAR = (
    "(Tensor src, Tensor centre, SymInt rows, SymInt columns, float first_angle,"
    " float angle_step, float first_radius, float radius_step, bool wraps, str border,"
    " float scale, float offset) -> Tensor"
)
_CORRELATION = "int radius, int dilation, float scale, bool x_major"

# The public operators; `cineflow.ops` documents what each computes.
warp = _register(
    "warp(Tensor src, Tensor flow, str border='zeros') -> Tensor", _empty_warp, _fill_warp
)
compose_flow = _register(
    "compose_flow(Tensor displacement, Tensor flow, str border='zeros') -> Tensor",
    _empty_compose_flow,
    _fill_compose_flow,
)
correlation = _register(
    f"correlation(Tensor f1, Tensor f2, {_CORRELATION}) -> Tensor",
    _empty_correlation,
    _fill_correlation,
)
warp_correlation = _register(
    f"warp_correlation(Tensor f1, Tensor f2, Tensor flow, {_CORRELATION}, str border) -> Tensor",
    _empty_warp_correlation,
    _fill_warp_correlation,
)
polar_resample = _register(
    f"polar_resample{_POLAR}", _empty_polar, _polar_filler(_C.polar_resample)
)
polar_unresample = _register(
    f"polar_unresample{_POLAR}", _empty_polar, _polar_filler(_C.polar_unresample)
)
