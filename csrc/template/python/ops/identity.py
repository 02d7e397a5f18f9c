"""Copies an image."""

from __future__ import annotations

from cineflow import _C
from cineflow.ops.arrays import Array, current_stream, empty_output
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator


def identity(src: Array, *, out: Array | None = None) -> Array:
    """Copy an image: `out(p) = src(p)`.

    Args:
        src: [N, C, H, W], any strides; float32, float16, bfloat16 or uint8, any unit.
        out: Where to write, like `src`. It may not overlap `src`.

    Returns:
        [N, C, H, W] in `src`'s unit and dtype (float32 for uint8): `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps `src`.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    return run(_identity, src, out=out)


def _allocate(src: Array) -> Array:
    return empty_output(src, src.shape)


def _fill(out: Array, src: Array) -> None:
    _C.identity(src, out, current_stream(src))


_identity = Operator("identity(Tensor src) -> Tensor", {"src": "[N, C, H, W]"}, _allocate, _fill)
