"""The reference of `cineflow.ops.pair_blocks`: whole arrays, in double precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cineflow.reference.warp import warp

_SIDE = 16


def pair_blocks(
    previous: np.ndarray, current: np.ndarray, flow: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Statistics of each block, f64 [14, h, w]; arguments as in `cineflow.ops.pair_blocks`."""
    a = previous.astype(np.float64)
    b = warp(current[None, None], flow[None], border="clamp")[0, 0]
    inside = ((a > 0) | (b > 0) if mask is None else mask).astype(np.float64)
    count = _of_blocks(inside, np.sum)
    least = np.maximum(count, 1.0)
    total_a, total_b = _of_blocks(a * inside, np.sum), _of_blocks(b * inside, np.sum)
    x, y = _gradient((a + b) / 2, inside)
    sums = (
        count,
        _of_blocks(a * a * inside, np.sum) - total_a**2 / least,
        _of_blocks(b * b * inside, np.sum) - total_b**2 / least,
        _of_blocks(a * b * inside, np.sum) - total_a * total_b / least,
        _of_blocks(x * x, np.sum),
        _of_blocks(x * y, np.sum),
        _of_blocks(y * y, np.sum),
    )
    windowed = [_window(one) for one in sums]
    pixels = np.maximum(windowed[0], 1.0)
    return np.stack(
        [
            count,
            np.where(count > 0, total_a / least, a.mean()),
            np.where(count > 0, total_b / least, b.mean()),
            pixels,
            *(one / pixels for one in windowed[1:]),
            *(_of_blocks(part, np.mean) for part in flow.astype(np.float64)),
            *_deformation(flow.astype(np.float64), count.shape),
        ]
    )


def _of_blocks(image: np.ndarray, what: Callable[[np.ndarray], np.floating]) -> np.ndarray:
    """`what` of each block of [H, W]; a remainder at the right and bottom edges is left out."""
    height, width = (min(_SIDE, extent) for extent in image.shape)
    rows, columns = image.shape[0] // height, image.shape[1] // width
    found = np.zeros((rows, columns))
    for r, c in np.ndindex(rows, columns):
        block = image[r * height : (r + 1) * height, c * width : (c + 1) * width]
        found[r, c] = what(block)
    return found


def _gradient(image: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences, 0 at the edges and where a neighbour is not inside."""
    x, y = np.zeros_like(image), np.zeros_like(image)
    x[:, 1:-1] = (image[:, 2:] - image[:, :-2]) / 2 * inside[:, 2:] * inside[:, :-2]
    y[1:-1] = (image[2:] - image[:-2]) / 2 * inside[2:] * inside[:-2]
    return x, y


def _window(blocks: np.ndarray) -> np.ndarray:
    """Sum over 3 x 3 blocks with weights (1/2, 1, 1/2) along each axis; outside counts 0."""
    padded = np.pad(blocks, 1)
    tall = padded[1:-1] + 0.5 * (padded[:-2] + padded[2:])
    wide: np.ndarray = tall[:, 1:-1] + 0.5 * (tall[:, :-2] + tall[:, 2:])
    return wide


def _deformation(flow: np.ndarray, blocks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean norm of du/dx by block, and the folded share, from every fourth pixel of a whole block.

    A block whose side is not a multiple of 4 uses every pixel.
    """
    sides = [min(_SIDE, extent) for extent in flow.shape[1:]]
    down, right = (4 if side % 4 == 0 else 1 for side in sides)
    rows, columns = blocks
    kept = flow[:, down // 2 : rows * sides[0] : down, right // 2 : columns * sides[1] : right]
    if min(kept.shape[1:]) < 2:
        return np.zeros(blocks), np.zeros(blocks)
    (ux_y, ux_x), (uy_y, uy_x) = (np.gradient(part, down, right) for part in kept)
    norm = np.sqrt(ux_x**2 + ux_y**2 + uy_x**2 + uy_y**2)
    folded = (1.0 + ux_x) * (1.0 + uy_y) - ux_y * uy_x <= 0.0
    cut = (rows, sides[0] // down, columns, sides[1] // right)
    return norm.reshape(cut).mean(axis=(1, 3)), folded.reshape(cut).mean(axis=(1, 3))
