"""Statistics of a pair of frames and its flow over blocks of 16 x 16 pixels, in one pass.

This is the inner loop of `cineflow.motion.blocks`. It takes NumPy arrays only and has no node in
ONNX graphs and no CUDA kernel: the frames of a stream are on the host.
"""

from __future__ import annotations

import numpy as np

from cineflow import _C

#: Side of a block, px.
BLOCK_PX: int = _C.PAIR_BLOCK


def pair_blocks(
    previous: np.ndarray, current: np.ndarray, flow: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Statistics of each block. `csrc/core/include/cineflow/pair_blocks.h` defines them.

    Args:
        previous: Grey levels, u8 or f32 [H, W].
        current: Grey levels, u8 or f32 [H, W].
        flow: previous to current, f32 [2, H, W] px; channel 0 = x, 1 = y.
        mask: Pixels to use, bool [H, W]; None for those above 0 in `previous` or in the warped
            `current`.

    Returns:
        f32 [14, h, w]: count, grey_a, grey_b, pixels, aa, bb, ab, xx, xy, yy, flow x, flow y,
        deformation, folded. h = H // 16 and w = W // 16; an image smaller than a block is one
        block.

    Raises:
        ArgumentError: Shapes or dtypes do not fit, or a frame or the flow is not finite.
    """
    height, width = flow.shape[-2:]
    rows, columns = max(1, height // BLOCK_PX), max(1, width // BLOCK_PX)
    out = np.empty((_C.PAIR_FIELDS, rows, columns), np.float32)
    used = None if mask is None else np.ascontiguousarray(mask).view(np.uint8)
    _C.pair_blocks(
        np.ascontiguousarray(previous),
        np.ascontiguousarray(current),
        np.ascontiguousarray(flow),
        used,
        out,
    )
    return out
