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
from cineflow.motion.blocks import (
    BLOCK_PX,
    BlockMotion,
    PairSums,
    block_motion,
    block_size,
    pair_sums,
    weighted_quantile,
)
from cineflow.motion.compose import compose
from cineflow.motion.fields import require_field, require_same_size
from cineflow.motion.quality_rule import Parts, expected_error_px, index_of
from cineflow.served import Quality

#: Variance of rounding to whole grey levels. Weaker texture does not count as texture.
_ROUNDING = 1.0 / 12.0
#: Added to squared gradients, (grey level / px)^2, so that weak ones do not locate anything.
_LEAST_GRADIENT = 1.0
#: A frame is judged by its worse tissue: these shares of the tissue are better than its figures.
_WORSE_SHARE, _WORST_SHARE = 0.8, 0.9


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
    sums = pair_sums(previous, current, flow, mask)
    if before is not None:
        require_same_size("flow of the pair before", before.flow, sums.count.shape)
    motion = block_motion(sums, before, frames)
    weight = motion.weight
    if not weight[np.minimum(sums.aa, sums.bb) > _ROUNDING].any():
        return _UNSUPPORTED, motion
    parts = Parts(
        photometric_px=weighted_quantile(_photometric(sums), weight, _WORSE_SHARE),
        correlation=weighted_quantile(_correlation(sums), weight, 1.0 - _WORSE_SHARE),
        deformation=weighted_quantile(sums.deformation, weight, _WORST_SHARE),
        appearance=None if before is None else _appearance(before, sums, weight),
        temporal_px=None if before is None else _temporal(before, motion, weight),
        forward_backward_px=(None if backward is None else _there_and_back(flow, backward, weight)),
    )
    error = expected_error_px(parts)
    quality = Quality(
        index=index_of(error),
        expected_error_px=error,
        folding_percent=100.0 * float((sums.folded * weight).sum()),
        **vars(parts),
    )
    return quality, motion


#: Quality of a pair without texture: its flow has no support, and its parts are undefined.
_UNSUPPORTED = Quality(0.0, np.inf, np.nan, np.nan, np.nan, None, None, None, np.nan)


def _correlation(sums: PairSums) -> np.ndarray:
    """Correlation coefficient of each block; 0 without texture."""
    energy = np.sqrt(np.maximum(sums.aa, 0.0) * np.maximum(sums.bb, 0.0))
    agreed = np.where(energy > _ROUNDING, sums.ab / np.maximum(energy, _ROUNDING), 0.0)
    return np.asarray(np.clip(agreed, -1.0, 1.0))


def _photometric(sums: PairSums) -> np.ndarray:
    """sqrt(r tr(G^-1)) of each block, px; the block's side without texture.

    r is the variance of the residual and G the mean outer product of the gradient. A least-squares
    displacement from N independent pixels has covariance r G^-1 / N (Cramer-Rao).
    """
    residual = np.maximum(sums.aa + sums.bb - 2.0 * sums.ab, 0.0) + _ROUNDING
    xx, yy = sums.xx + _LEAST_GRADIENT, sums.yy + _LEAST_GRADIENT
    variance = residual * (xx + yy) / (xx * yy - sums.xy**2)
    textured = np.minimum(sums.aa, sums.bb) > _ROUNDING
    return np.where(textured, np.sqrt(variance), float(BLOCK_PX))


def _temporal(before: BlockMotion, motion: BlockMotion, weight: np.ndarray) -> float:
    """Mean |f - (n / n') f'| over the tissue, px: f' took n' frames, f takes n."""
    change = motion.flow - (motion.frames / before.frames) * before.flow
    return float((np.hypot(change[0], change[1]) * weight).sum())


def _appearance(before: BlockMotion, sums: PairSums, weight: np.ndarray) -> float:
    """Change of the grey level from its running mean, the larger of both frames' changes.

    Four fifths of the tissue change less. The onset of shadows, haze, gain and noise shows here.
    """
    change = np.maximum(np.abs(sums.grey_a - before.grey), np.abs(sums.grey_b - before.grey))
    return weighted_quantile(change, weight, _WORSE_SHARE)


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
        forward = 0.5 * halved(forward)  # px of the halved picture
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
