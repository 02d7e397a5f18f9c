"""Sums of a frame pair and its flow over blocks of 16 px. Quality and beats are read from them.

Blocks reduce a frame to a few hundred numbers, which are cheap to combine, to compare with the
previous pair, and to carry in a stream's state.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_mask, require_same_size
from cineflow.ops.pair_blocks import BLOCK_PX as BLOCK_PX
from cineflow.ops.pair_blocks import pair_blocks

#: The block's mean flow among the results of `pair_blocks`.
_FLOW = slice(10, 12)
_WHITE = 255.0
#: Weight of a new frame in the running mean of the picture.
_RENEWAL = 0.2


@dataclass(frozen=True, eq=False)
class BlockMotion:
    """What one pair keeps for the next: its motion and the recent picture, by block.

    The picture is a running mean over about five frames. Tissue hidden by a shadow therefore keeps
    its weight, and counts as tissue without support. Sudden changes of the picture show as well.

    Attributes:
        flow: Mean flow of each block, f32 [2, h, w] px (x, y).
        tissue: Running mean of pixels times squared brightness, f64 [h, w]; blood is dark.
        grey: Running mean of the grey level, f64 [h, w].
        frames: Frame number of the current frame minus the previous one's; 1 if no frame was lost.
    """

    flow: np.ndarray
    tissue: np.ndarray
    grey: np.ndarray
    frames: int = 1

    @property
    def weight(self) -> np.ndarray:
        """Share of each block in the tissue, f64 [h, w]. The sum is 1, or 0 for a black picture."""
        total = float(self.tissue.sum())
        return self.tissue / total if total > 0 else self.tissue


@dataclass(frozen=True, eq=False)
class PairSums:
    """Statistics of a pair over each block and its neighbours, per pixel, f64 [h, w].

    a is the previous frame and b(p) = current(p + flow(p)), both minus their mean over the block. g
    is the central-difference gradient of (a + b) / 2. Neighbours count half and diagonal neighbours
    a quarter, which is about the reach of the tracker's window.

    Attributes:
        count: Number of pixels in the block itself.
        grey_a, grey_b: Mean grey levels of the block itself, before they were subtracted; the
            frame's where no pixel of the block is in use.
        pixels: Weighted number of pixels in the sums.
        aa, bb, ab: Variances and covariance, grey levels^2.
        xx, xy, yy: Products of the gradient, (grey level / px)^2.
        flow: Mean flow of the block itself, f32 [2, h, w] px.
        deformation: Mean norm of the flow's gradient du/dx in the block itself.
        folded: Share of the block itself where the flow folds, 0..1.
    """

    count: np.ndarray
    grey_a: np.ndarray
    grey_b: np.ndarray
    pixels: np.ndarray
    aa: np.ndarray
    bb: np.ndarray
    ab: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    flow: np.ndarray
    deformation: np.ndarray
    folded: np.ndarray


#: What `pair_blocks` returns besides the flow, in order.
_SCALARS = tuple(field.name for field in fields(PairSums) if field.name != "flow")


def pair_sums(
    previous: np.ndarray, current: np.ndarray, flow: np.ndarray, mask: np.ndarray | None = None
) -> PairSums:
    """Statistics of a pair, in one pass over the image.

    Args:
        previous, current: Grey levels, u8 or f32 [H, W].
        flow: previous to current, [2, H, W] px.
        mask: Pixels to use, bool [H, W]; None for those that are not black in both frames.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, or a frame or the flow is not finite.
    """
    step = np.asarray(flow)
    if step.dtype.kind != "f" or step.ndim != 3 or len(step) != 2:
        raise ArgumentError("flow: floating point [2, H, W]", f"{step.dtype} {list(step.shape)}")
    size = step.shape[-2:]
    for name, frame in (("previous", previous), ("current", current)):
        if frame.ndim != 2:
            raise ArgumentError(f"{name}: [H, W]", f"{frame.dtype.name} {list(frame.shape)}")
        require_same_size(name, frame, size)
    statistics = pair_blocks(
        _grey(previous),
        _grey(current),
        np.asarray(step, np.float32),
        None if mask is None else require_mask(mask, size),
    ).astype(np.float64)
    named = dict(
        zip(_SCALARS, (*statistics[: _FLOW.start], *statistics[_FLOW.stop :]), strict=True)
    )
    return PairSums(flow=statistics[_FLOW].astype(np.float32), **named)


def block_motion(sums: PairSums, before: BlockMotion | None = None, frames: int = 1) -> BlockMotion:
    """What one pair keeps for the next.

    Args:
        sums: Statistics of this pair.
        before: The previous pair's block motion; None for the first pair.
        frames: As in `BlockMotion`.
    """
    tissue, grey = sums.count * (sums.grey_a / _WHITE) ** 2, sums.grey_a * (sums.count > 0)
    if before is not None:
        tissue = before.tissue + _RENEWAL * (tissue - before.tissue)
        grey = before.grey + _RENEWAL * (grey - before.grey)
    return BlockMotion(sums.flow, tissue, grey, frames)


def weighted_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The smallest value below or at which `share` of the weight lies; `weight` sums to 1."""
    flat = values.ravel()
    order = flat.argsort()
    reached = weight.ravel()[order].cumsum()
    at = min(int(reached.searchsorted(share * reached[-1])), order.size - 1)
    return float(flat[order[at]])


def block_size(size: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of one block in an image of `size`."""
    return min(BLOCK_PX, size[0]), min(BLOCK_PX, size[1])


def _grey(frame: np.ndarray) -> np.ndarray:
    return frame if frame.dtype == np.uint8 else np.asarray(frame, np.float32)
