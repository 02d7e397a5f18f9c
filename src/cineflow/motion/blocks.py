"""Statistics of a frame pair and its flow over blocks of 16 px, which quality and beats read.

Blocks reduce a frame to a few hundred numbers, which are cheap to combine, to compare with the
previous pair, and to carry in a stream's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_mask, require_same_size
from cineflow.ops.held import readable, stays
from cineflow.ops.pair_blocks import BLOCK_PX as BLOCK_PX
from cineflow.ops.pair_blocks import pair_blocks
from cineflow.ops.pair_quality import PairQuality, pair_quality

#: The block's mean flow among the results of `pair_blocks`.
_FLOW = slice(10, 12)


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

    @cached_property
    def weight(self) -> np.ndarray:
        """Share of each block in the tissue, f64 [h, w]. The sum is 1, or 0 for a black picture."""
        total = float(self.tissue.sum())
        return self.tissue / total if total > 0 else self.tissue


def pair_statistics(
    previous: np.ndarray, current: np.ndarray, flow: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Statistics of a pair, f32 [14, h, w]; `csrc/core/include/cineflow/pair_blocks.h` has them.

    Where the flow is held on a card, they are computed there, and only they come to host memory.

    Args:
        previous, current: Grey levels, u8 or f32 [H, W].
        flow: previous to current, [2, H, W] px; f32 on a card.
        mask: Pixels to use, bool [H, W]; None for those that are not black in both frames.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, or a frame or the flow is not finite.
    """
    step = readable(flow)
    if step.dtype.kind != "f" or step.ndim != 3 or len(step) != 2:
        raise ArgumentError("flow: floating point [2, H, W]", f"{step.dtype} {list(step.shape)}")
    size = step.shape[-2:]
    for name, frame in (("previous", previous), ("current", current)):
        if frame.ndim != 2:
            raise ArgumentError(f"{name}: [H, W]", f"{frame.dtype.name} {list(frame.shape)}")
        require_same_size(name, frame, size)
    there = stays(step)
    used = None if mask is None else require_mask(mask, size)
    if there and used is not None:
        used = used.view(np.uint8)
    found = pair_blocks(
        _grey(previous), _grey(current), step if there else np.asarray(step, np.float32), used
    )
    if not there:
        return found
    statistics = np.asarray(found)
    if np.isnan(statistics[0, 0, 0]):  # on a card all of them are
        raise ArgumentError("previous, current and flow: finite values", "NaN or infinite values")
    return statistics


def judge_blocks(
    statistics: np.ndarray, before: BlockMotion | None = None, frames: int = 1
) -> tuple[PairQuality, BlockMotion]:
    """Parts of a pair's quality, and what the pair keeps for the next.

    Args:
        statistics: Of this pair, as `pair_statistics` returns them.
        before: The previous pair's block motion; None for the first pair.
        frames: As in `BlockMotion`.
    """
    if before is None:
        found = pair_quality(statistics)
    else:
        ratio = frames / before.frames
        found = pair_quality(statistics, before.flow, before.tissue, before.grey, ratio)
    return found, BlockMotion(statistics[_FLOW].copy(), found.tissue, found.grey, frames)


def block_size(size: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of one block in an image of `size`."""
    return min(BLOCK_PX, size[0]), min(BLOCK_PX, size[1])


def _grey(frame: np.ndarray) -> np.ndarray:
    return frame if frame.dtype == np.uint8 or stays(frame) else np.asarray(frame, np.float32)
