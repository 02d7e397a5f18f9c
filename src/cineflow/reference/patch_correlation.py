"""The reference of `cineflow.ops.patch_correlation`."""

from __future__ import annotations

import numpy as np

from cineflow.reference.warp import sample


def patch_correlation(
    f1: np.ndarray,
    f2: np.ndarray,
    points1: np.ndarray,
    points2: np.ndarray,
    *,
    size: tuple[int, int],
    pool: tuple[int, int] = (1, 1),
    scale: str | float = "mean",
    border: str = "zeros",
) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.patch_correlation`; result float64.

    With `pool` 1 this is the volume of all pairs of samples, as the paper has it.
    """
    count, channels = f2.shape[:2]
    factors = {"mean": 1 / max(channels, 1), "sqrt": max(channels, 1) ** -0.5}
    factor = factors[scale] if isinstance(scale, str) else scale
    targets = count // max(len(f1), 1)
    cells = [(side // block) ** 2 for side, block in zip(size, pool, strict=True)]
    out = np.zeros((count, points2.shape[1], *cells))
    for image, point in np.ndindex(out.shape[:2]):
        whole = image // targets  # of f1
        first = means(crop(f1[whole], points1[whole, point], size[0], border), pool[0])
        second = means(crop(f2[image], points2[image, point], size[1], border), pool[1])
        for i, j in np.ndindex(out.shape[2:]):
            out[image, point, i, j] = factor * (first[:, i] * second[:, j]).sum()
    return out


def crop(maps: np.ndarray, point: np.ndarray, size: int, border: str) -> np.ndarray:
    """The patch [C, size, size] of `maps` [C, H, W] around `point` (x, y), one sample at a time.

    The coordinate is rounded to float32, as in every kernel: it is part of the operation.
    """
    patch = np.zeros((len(maps), size, size))
    steps = np.arange(size, dtype=np.float32) - np.float32(size // 2)
    with np.errstate(over="ignore", invalid="ignore"):
        columns, rows = (np.float32(one) + steps for one in point)
    for channel, row, column in np.ndindex(patch.shape):
        x, y = float(columns[column]), float(rows[row])
        patch[channel, row, column] = sample(maps[channel], x, y, border)
    return patch


def means(patch: np.ndarray, pool: int) -> np.ndarray:
    """The means [C, cells] of blocks of `pool` x `pool` samples of `patch` [C, size, size]."""
    channels, size, _ = patch.shape
    side = size // pool
    blocks = patch.reshape(channels, side, pool, side, pool)
    return blocks.mean(axis=(2, 4)).reshape(channels, side * side)
