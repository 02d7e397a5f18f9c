"""How far to trust one frame's motion, without labels.

The parts are the losses that unsupervised trackers are trained with (Teng et al. 2024, Qin et al.
2018, Oh et al.): the photometric residual after the warp, smoothness, forward-backward consistency,
consistency over time, and folding. `cineflow.motion.quality_rule` turns them into one expected
error in px.

Four problems stay invisible: static clutter, which agrees with zero motion; motion across the plane
that keeps the speckle; a repeating texture; and a drift too slow to show in one pair. The index
says how well a frame supports its motion. It does not say that a measurement is right.
"""

from __future__ import annotations

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.blocks import BlockMotion, block_size, judge_blocks, pair_statistics
from cineflow.motion.compose import compose
from cineflow.motion.fields import require_field, require_same_size
from cineflow.motion.quality_rule import Parts, expected_error_px, index_of
from cineflow.served import Quality


def assess(
    previous: np.ndarray,
    current: np.ndarray,
    flow: np.ndarray,
    *,
    before: BlockMotion | None = None,
    frames: int = 1,
    backward: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> tuple[Quality, BlockMotion]:
    """Judges the flow of one pair.

    Args:
        previous, current: Grey levels, u8 or f32 [H, W].
        flow: previous to current, [2, H, W] px.
        before: Block motion that this function returned for the previous pair; None for the first.
        frames: Frame number of `current` minus that of `previous`; 1 if no frame was lost.
        backward: current to previous, [2, H, W] px; or computed from both frames `halved`,
            [2, H / 2, W / 2] px of the halved picture. The second costs a quarter and tells more,
            because it also compares two scales.
        mask: Pixels to judge, bool [H, W]; None for those that are not black in both frames.

    Returns:
        The quality, and the pair's block motion for the next call.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, a frame or a flow is not finite, or
            `frames` < 1.
    """
    if frames < 1:
        raise ArgumentError("frames >= 1 from one frame to the next", str(frames))
    statistics = pair_statistics(previous, current, flow, mask)
    if before is not None:
        require_same_size("flow of the pair before", before.flow, statistics.shape[1:])
    found, motion = judge_blocks(statistics, before, frames)
    if not found.supported:
        return _UNSUPPORTED, motion
    parts = Parts(
        photometric_px=found.photometric_px,
        correlation=found.correlation,
        deformation=found.deformation,
        appearance=None if before is None else found.appearance,
        temporal_px=None if before is None else found.temporal_px,
        forward_backward_px=(
            None if backward is None else _there_and_back(flow, backward, motion.weight)
        ),
    )
    error = expected_error_px(parts)
    quality = Quality(
        index=index_of(error),
        expected_error_px=error,
        folding_percent=100.0 * found.folded,
        **vars(parts),
    )
    return quality, motion


#: Quality of a pair without texture: its flow has no support, and its parts are undefined.
_UNSUPPORTED = Quality(0.0, np.inf, np.nan, np.nan, np.nan, None, None, None, np.nan)


def _there_and_back(forward: np.ndarray, backward: np.ndarray, weight: np.ndarray) -> float:
    """Mean |f(p) + b(p + f(p))| over the tissue, px of the full-size picture.

    Source:
        Kalal et al. 2010; also a training loss of Teng et al. 2024 and Oh et al.
    """
    back = require_field("backward", backward)
    size = forward.shape[-2:]
    small = (size[0] // 2, size[1] // 2)
    if back.shape[-2:] not in (size, small) or (back.shape[-2:] == small and _odd(size)):
        raise ArgumentError(
            f"backward: [2, {size[0]}, {size[1]}], or half that size if both sides are even",
            f"{list(back.shape)}",
        )
    scale = size[0] // back.shape[-2]
    if scale == 2:
        forward = 0.5 * halved(np.asarray(forward))  # px of the halved picture
    there_and_back = scale * compose(forward, back)
    length = np.hypot(there_and_back[0], there_and_back[1])
    rows, columns = weight.shape
    height, width = (extent // scale for extent in block_size(size))
    kept = length[: rows * height, : columns * width]
    means = kept.reshape(rows, height, columns, width).mean(axis=(1, 3))
    return float((means * weight).sum())


def _odd(size: tuple[int, ...]) -> bool:
    return any(extent % 2 for extent in size)


def halved(image: np.ndarray) -> np.ndarray:
    """Mean over 2 x 2 pixels of [..., H, W], f32 [..., H / 2, W / 2]. H and W are even."""
    rows = image[..., ::2, :] + image[..., 1::2, :]
    return np.asarray(0.25 * (rows[..., ::2] + rows[..., 1::2]), np.float32)
