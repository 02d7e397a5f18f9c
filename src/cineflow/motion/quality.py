"""How far to trust one frame's motion, without any label."""

from __future__ import annotations

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.compose import compose
from cineflow.motion.fields import require_field, require_mask, require_same_size
from cineflow.ops import warp

_BLOCK_PX = 16
#: Variance of the rounding to whole grey levels: texture weaker than this is no texture.
_ROUNDING = 1.0 / 12.0


def frame_quality(
    previous: np.ndarray, current: np.ndarray, flow: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """Agreement of a frame with the next one brought back by the flow, 0 (none) to 1 (equal).

    With a = previous, b(p) = current(p + flow(p)), and both less their mean in each block of 16 px,
        q = max(0, sum a b / sqrt(sum a^2 * sum b^2))
    over the mask: the correlation coefficient of the speckle itself. Large bright structures, which
    agree under any small flow, are in the block means and count nothing.

    Args:
        previous, current: Grey levels, u8 or f32 [H, W].
        flow: previous to current, [2, H, W] px.
        mask: Where to judge, bool [H, W]; None for everywhere that either frame is not black.

    Returns:
        q in [0, 1]; 0 where there is no texture at all, because then nothing supports the flow.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, or the flow is not finite.
    """
    step = require_field("flow", flow)
    size = step.shape[-2:]
    for name, frame in (("previous", previous), ("current", current)):
        if frame.ndim != 2:
            raise ArgumentError(f"{name}: [H, W]", f"{frame.dtype.name} {list(frame.shape)}")
        require_same_size(name, frame, size)
    a = np.ascontiguousarray(previous, np.float32)
    b = warp(np.ascontiguousarray(current, np.float32)[None, None], step[None], border="clamp")[
        0, 0
    ]
    inside = (a > 0) | (b > 0) if mask is None else require_mask(mask, size)

    weight = _blocks(inside.astype(np.float32))
    a, b = _blocks(a), _blocks(b)
    count = np.maximum(weight.sum(axis=(1, 3), keepdims=True), 1.0)
    a = (a - (a * weight).sum(axis=(1, 3), keepdims=True) / count) * weight
    b = (b - (b * weight).sum(axis=(1, 3), keepdims=True) / count) * weight
    energy = np.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    if energy <= _ROUNDING * float(weight.sum()):
        return 0.0
    return float(np.clip(float(np.vdot(a, b)) / energy, 0.0, 1.0))


def _blocks(image: np.ndarray) -> np.ndarray:
    """View of [H, W] as [H / 16, 16, W / 16, 16]; the remainder at the far edges is left out."""
    rows, columns = (max(1, extent // _BLOCK_PX) for extent in image.shape)
    height, width = (min(_BLOCK_PX, extent) for extent in image.shape)
    return image[: rows * height, : columns * width].reshape(rows, height, columns, width)


def forward_backward_px(
    forward: np.ndarray, backward: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """Mean |f(p) + b(p + f(p))|, px: how far a point ends from home on the way there and back.

    Costs a second run of the tracker, so a stream does not have it; it follows the true error of
    the default tracker more closely than the correlation does.

    Args:
        forward: previous to current, [2, H, W] px.
        backward: current to previous, [2, H, W] px.
        mask: Where to judge, bool [H, W]; None for everywhere.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, or a value is not finite.

    Source:
        Kalal et al. 2010; a training loss of sources A and E.
    """
    there_and_back = compose(forward, backward)
    length = np.hypot(there_and_back[0], there_and_back[1])
    inside = np.ones(length.shape, bool) if mask is None else require_mask(mask, length.shape)
    return float(length[inside].mean())
