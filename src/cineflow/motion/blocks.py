"""Sums of a frame pair and its flow over blocks of 16 px. Quality and beats are read from them.

Blocks reduce a frame to a few hundred numbers, which are cheap to combine, to compare with the
previous pair, and to carry in a stream's state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_field, require_finite, require_mask, require_same_size
from cineflow.ops import warp

BLOCK_PX = 16
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
        grey_a, grey_b: Mean grey levels of the block itself, before they were subtracted.
        pixels: Weighted number of pixels in the sums.
        aa, bb, ab: Variances and covariance, grey levels^2.
        xx, xy, yy: Products of the gradient, (grey level / px)^2.
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


def pair_sums(
    previous: np.ndarray, current: np.ndarray, flow: np.ndarray, mask: np.ndarray | None = None
) -> PairSums:
    """Sums of a pair.

    Args:
        previous, current: Grey levels, u8 or f32 [H, W].
        flow: previous to current, [2, H, W] px.
        mask: Pixels to use, bool [H, W]; None for those that are not black in both frames.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, or a frame or the flow is not finite.
    """
    step = require_field("flow", flow)
    size = step.shape[-2:]
    for name, frame in (("previous", previous), ("current", current)):
        if frame.ndim != 2:
            raise ArgumentError(f"{name}: [H, W]", f"{frame.dtype.name} {list(frame.shape)}")
        require_same_size(name, frame, size)
        require_finite(name, frame)
    a = np.ascontiguousarray(previous, np.float32)
    back = np.ascontiguousarray(current, np.float32)[None, None]
    b = warp(back, step[None], border="clamp")[0, 0]
    seen = (a > 0) | (b > 0) if mask is None else require_mask(mask, size)
    inside = seen.astype(np.float32)

    count = block_sums(inside)
    least = np.maximum(count, 1.0)
    # Subtract the frame's mean so that sums of squares stay small enough for f32.
    mean_a, mean_b = float(a.mean()), float(b.mean())
    a, b = (a - mean_a) * inside, (b - mean_b) * inside
    x, y = _gradient(a + b, inside)
    total_a, total_b = block_sums(a), block_sums(b)
    sums = (
        count,
        block_sums(a * a) - total_a * total_a / least,
        block_sums(b * b) - total_b * total_b / least,
        block_sums(a * b) - total_a * total_b / least,
        block_sums(x * x),
        block_sums(x * y),
        block_sums(y * y),
    )
    windowed = [_window(one) for one in sums]
    pixels = np.maximum(windowed[0], 1.0)
    return PairSums(
        count,
        mean_a + total_a / least,
        mean_b + total_b / least,
        windowed[0],
        *(one / pixels for one in windowed[1:]),
    )


def block_motion(
    flow: np.ndarray, sums: PairSums, before: BlockMotion | None = None, frames: int = 1
) -> BlockMotion:
    """What one pair keeps for the next.

    Args:
        flow: previous to current, [2, H, W] px.
        sums: Sums of this pair.
        before: The previous pair's block motion; None for the first pair.
        frames: As in `BlockMotion`.
    """
    rows, columns = block_size(flow.shape[-2:])
    means = np.stack([block_sums(part) for part in flow]) / (rows * columns)
    tissue, grey = sums.count * (sums.grey_a / _WHITE) ** 2, sums.grey_a * (sums.count > 0)
    if before is not None:
        tissue = before.tissue + _RENEWAL * (tissue - before.tissue)
        grey = before.grey + _RENEWAL * (grey - before.grey)
    return BlockMotion(means.astype(np.float32), tissue, grey, frames)


def block_sums(image: np.ndarray) -> np.ndarray:
    """Sum over each block of [H, W], f64 [H // 16, W // 16].

    A remainder at the right and bottom edges is ignored. An image smaller than a block is one
    block.
    """
    height, width = block_size(image.shape)
    rows, columns = image.shape[0] // height, image.shape[1] // width
    kept = image[: rows * height, : columns * width]
    # rows first, because that sum reads contiguous memory
    tall = kept.reshape(rows, height, columns * width).sum(axis=1)
    total: np.ndarray = tall.reshape(rows, columns, width).sum(axis=2, dtype=np.float64)
    return total


def weighted_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The smallest value below or at which `share` of the weight lies; `weight` sums to 1."""
    order = np.argsort(values, axis=None)
    reached = np.cumsum(weight.ravel()[order])
    at = min(int(np.searchsorted(reached, share * reached[-1])), order.size - 1)
    return float(values.ravel()[order[at]])


def block_size(size: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of one block in an image of `size`."""
    return min(BLOCK_PX, size[0]), min(BLOCK_PX, size[1])


def _gradient(twice: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of `twice` / 2.

    They are 0 where a neighbour is outside, because the edge of the sector is not texture.
    """
    x, y = np.zeros_like(twice), np.zeros_like(twice)
    np.subtract(twice[:, 2:], twice[:, :-2], out=x[:, 1:-1])
    np.subtract(twice[2:], twice[:-2], out=y[1:-1])
    quarter = np.float32(0.25) * inside  # 1/2 for the sum of two frames, 1/2 for a step of 2 px
    x[:, 1:-1] *= quarter[:, 2:] * inside[:, :-2]
    y[1:-1] *= quarter[2:] * inside[:-2]
    return x, y


def _window(blocks: np.ndarray) -> np.ndarray:
    """Sum over 3 x 3 blocks with weights (1/2, 1, 1/2) along each axis; outside counts 0."""
    padded = np.pad(blocks, 1)
    tall = padded[1:-1] + 0.5 * (padded[:-2] + padded[2:])
    wide: np.ndarray = tall[:, 1:-1] + 0.5 * (tall[:, :-2] + tall[:, 2:])
    return wide
