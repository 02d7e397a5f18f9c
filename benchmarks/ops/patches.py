"""Correlation of patches around key points: one iteration over five feature maps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.ops.case import Case
from cineflow import ops

#: Channels and side of each map: the image and the four resolutions of an HRNet.
MAPS = ((1, 224), (32, 224), (64, 112), (128, 56), (256, 28))
FRAMES, POINTS, SIZE = 24, 4, 24


def patch_correlation(pool: tuple[int, int]) -> Case:
    """All five maps, patches of 24 x 24 samples in cells of `pool`."""
    rng = np.random.default_rng(0)
    maps, results = [], []
    cells = [(SIZE // block) ** 2 for block in pool]
    inside = rng.uniform(0.3, 0.7, (1, POINTS, 2)).astype(np.float32)
    moved = inside + rng.normal(0, 0.02, (FRAMES, POINTS, 2)).astype(np.float32)
    for channels, side in MAPS:
        f1 = rng.standard_normal((1, channels, side, side), dtype=np.float32)
        f2 = rng.standard_normal((FRAMES, channels, side, side), dtype=np.float32)
        maps.append((f1, f2, inside * side, moved * side))
        results.append(np.empty((FRAMES, POINTS, *cells), np.float32))
    tensors = [[torch.from_numpy(array) for array in given] for given in maps]

    def ours() -> list[np.ndarray]:
        return [
            ops.patch_correlation(*given, size=SIZE, pool=pool, out=out)
            for given, out in zip(maps, results, strict=True)
        ]

    def peer() -> list[Tensor]:
        return [patches_of_torch(given, pool) for given in tensors]

    both = zip(ours(), peer(), strict=True)
    error = max(float(np.abs(one - other.numpy()).max()) for one, other in both)
    channels = sum(channels for channels, _ in MAPS)
    read = (SIZE + 1) ** 2 * channels * (FRAMES + 1) * POINTS * 4
    # A cell reads pool + 1 rows of the patch's pixels, then pool + 1 sums of each of its columns.
    sampled = sum((SIZE // g) * (g + 1) * (SIZE + 1) + (SIZE // g) ** 2 * (g + 1) for g in pool[1:])
    return Case(
        f"patch_correlation 5 maps, {FRAMES} frames, pool {pool[0]}, {pool[1]}",
        ours,
        {"grid_sample, avg_pool2d, matmul (torch)": peer},
        read + sum(out.nbytes for out in results),
        2 * FRAMES * POINTS * channels * (cells[0] * cells[1] + sampled),
        error,
        wanted=0.0,
    )


def patches_of_torch(given: list[Tensor], pool: tuple[int, int]) -> Tensor:
    """The same with torch's own operators, scale "mean"."""
    f1, f2, points1, points2 = given
    first, second = (
        cells_of(maps, points, block)
        for maps, points, block in zip((f1, f2), (points1, points2), pool, strict=True)
    )
    return torch.matmul(first.permute(0, 2, 3, 1), second.permute(0, 2, 1, 3)) / f1.shape[1]


def cells_of(maps: Tensor, points: Tensor, pool: int) -> Tensor:
    """The cells [N, C, K, cells] of the patches around `points` [N, K, 2] of `maps`."""
    images, channels, height, width = maps.shape
    steps = torch.arange(SIZE, dtype=torch.float32, device=points.device) - SIZE // 2
    square = (-1, -1, SIZE, SIZE)
    x = (points[:, :, None, None, 0] + steps).expand(square)
    y = (points[:, :, None, None, 1] + steps[:, None]).expand(square)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    grid = grid.reshape(images, -1, SIZE, 2)
    patches = functional.grid_sample(maps, grid, align_corners=False)
    patches = patches.reshape(images, channels * points.shape[1], SIZE, SIZE)
    cells = functional.avg_pool2d(patches, pool) if pool > 1 else patches
    return cells.reshape(images, channels, points.shape[1], -1)
