"""Statistics of a pair of frames and its flow over blocks of 16 x 16 pixels, in one pass.

This is the inner loop of `cineflow.motion.blocks`. It has no node in ONNX graphs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cineflow import _C
from cineflow.ops.arrays import Array, current_stream, shared_kind
from cineflow.ops.held import run_there, stays

#: Side of a block, px.
BLOCK_PX: int = _C.PAIR_BLOCK


def pair_blocks(previous: Array, current: Array, flow: Array, mask: Array | None = None) -> Array:
    """Statistics of each block. `csrc/core/include/cineflow/pair_blocks.h` defines them.

    Args:
        previous: Grey levels, u8 or f32 [H, W].
        current: Grey levels, u8 or f32 [H, W].
        flow: previous to current, f32 [2, H, W] px; channel 0 = x, 1 = y.
        mask: Pixels to use, bool [H, W] (u8 on a GPU); None for those above 0 in `previous` or in
            the warped `current`.

    Returns:
        f32 [14, h, w] of the library and device of the inputs: count, grey_a, grey_b, pixels, aa,
        bb, ab, xx, xy, yy, flow x, flow y, deformation, folded. h = H // 16 and w = W // 16; an
        image smaller than a block is one block. On a GPU every number is NaN where a frame or the
        flow has a value that is not finite.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit, or, on the CPU, a frame or the flow is
            not finite.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    height, width = flow.shape[-2:]
    shape = _C.PAIR_FIELDS, max(1, height // BLOCK_PX), max(1, width // BLOCK_PX)
    if isinstance(flow, np.ndarray):
        out = np.empty(shape, np.float32)
        used = None if mask is None else np.ascontiguousarray(mask).view(np.uint8)
        _C.pair_blocks(
            np.ascontiguousarray(previous),
            np.ascontiguousarray(current),
            np.ascontiguousarray(flow),
            used,
            out,
        )
        return out
    arrays = (previous, current, flow) if mask is None else (previous, current, flow, mask)
    if any(map(stays, arrays)):
        return run_there(pair_blocks, arrays)
    kind = shared_kind(("previous", "current", "flow", "mask")[: len(arrays)], arrays)
    floats = _C.pair_blocks_floats(height, width)
    if kind == "torch":
        out = flow.new_empty(shape)
        _fill(out, arrays, flow.new_empty(floats) if flow.is_cuda else None)
        return out
    cupy: Any = sys.modules["cupy"]
    with flow.device:  # CuPy allocates there, and its current stream is that device's
        out = cupy.empty(shape, cupy.float32)
        _fill(out, arrays, cupy.empty(floats, cupy.float32))
    return out


def _fill(out: Array, arrays: tuple[Array, ...], workspace: Array | None) -> None:
    previous, current, flow = arrays[:3]
    mask = arrays[3] if len(arrays) > 3 else None
    _C.pair_blocks(previous, current, flow, mask, out, workspace, current_stream(flow))
