"""RAFT's correlation: the volume with its levels, the look-up, and the look-up without a volume."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.ops.case import Case
from cineflow import ops

LEVELS, RADIUS = 4, 4
SAMPLES = (2 * RADIUS + 1) ** 2


def maps(channels: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    f1, f2 = rng.standard_normal((2, 1, channels, side, side), dtype=np.float32)
    return f1, f2


def positions(side: int) -> np.ndarray:
    """Each pixel, moved by a few pixels of smooth motion."""
    y, x = np.mgrid[:side, :side] / side
    flow = np.stack([4 * np.sin(6 * y) * np.cos(3 * x), 4 * np.cos(5 * x + y)])
    return (side * np.stack([x, y]) + flow)[None].astype(np.float32)


def pooled(volume: Tensor) -> list[Tensor]:
    """RAFT's levels of a volume [N H W, 1, H, W]."""
    levels = [volume]
    for _ in range(LEVELS - 1):
        levels.append(functional.avg_pool2d(levels[-1], 2, stride=2))
    return levels


def product(f1: Tensor, f2: Tensor) -> Tensor:
    return torch.matmul(f1.flatten(2).transpose(1, 2), f2.flatten(2))


def levels_of(f1: Tensor, f2: Tensor) -> list[Tensor]:
    """RAFT's `CorrBlock.__init__`."""
    volume = product(f1, f2) / f1.shape[1] ** 0.5
    return pooled(volume.reshape(-1, 1, *f2.shape[2:]))


def windows(levels: list[Tensor], coords: Tensor) -> Tensor:
    """RAFT's `CorrBlock.__call__`."""
    batch, _, height, width = coords.shape
    steps = torch.linspace(-RADIUS, RADIUS, 2 * RADIUS + 1)
    delta = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    centres = coords.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    found = []
    for number, level in enumerate(levels):
        sizes = torch.tensor([level.shape[3] - 1, level.shape[2] - 1])
        grid = 2 * (centres / 2**number + delta) / sizes - 1
        samples = functional.grid_sample(level, grid, align_corners=True)
        found.append(samples.reshape(batch, height, width, SAMPLES))
    return torch.cat(found, dim=-1).permute(0, 3, 1, 2).contiguous()


def correlation_pyramid(channels: int, side: int) -> Case:
    """All levels, compared with the matrix product in torch: at least 1 / 1.3 of its speed."""
    f1, f2 = maps(channels, side)
    a, b = torch.from_numpy(f1), torch.from_numpy(f2)
    wanted = torch.cat([level.reshape(side * side, -1) for level in levels_of(a, b)], dim=1)
    out = np.empty((1, side, side, wanted.shape[1]), np.float32)

    def ours() -> np.ndarray:
        return ops.correlation_pyramid(f1, f2, out=out)

    return Case(
        f"RAFT volume and levels C{channels} {side}²",
        ours,
        {"torch's matrix product, no levels": lambda: product(a, b)},
        f1.nbytes + f2.nbytes + out.nbytes,
        2 * channels * side**4,
        float(np.abs(ours().reshape(wanted.shape) - wanted.numpy()).max()),
        wanted=1 / 1.3,
        notes=["RAFT volume: the peer computes neither scale nor levels"],
    )


def correlation_lookup(channels: int, side: int) -> Case:
    f1, f2 = maps(channels, side)
    pyramid = ops.correlation_pyramid(f1, f2)
    levels = levels_of(torch.from_numpy(f1), torch.from_numpy(f2))
    coords = positions(side)
    at = torch.from_numpy(coords)
    out = np.empty((1, LEVELS * SAMPLES, side, side), np.float32)

    def ours() -> np.ndarray:
        return ops.correlation_lookup(pyramid, coords, out=out)

    def peer() -> Tensor:
        return windows(levels, at)

    return Case(
        f"RAFT look-up C{channels} {side}² r{RADIUS}",
        ours,
        {"grid_sample per level (torch)": peer},
        # A window reads up to (2r + 2)^2 numbers of each level.
        side * side * 4 * sum(min(side >> level, 2 * RADIUS + 2) ** 2 for level in range(LEVELS))
        + coords.nbytes
        + out.nbytes,
        8 * out.size,
        float(np.abs(ours() - peer().numpy()).max()),
        wanted=8.0,
    )


def correlation_on_demand(channels: int, side: int) -> Case:
    """One look-up from the features, compared with volume, levels and look-up in torch."""
    f1, f2 = maps(channels, side)
    a, b = torch.from_numpy(f1), torch.from_numpy(f2)
    features = ops.feature_pyramid(f2)
    coords = positions(side)
    at = torch.from_numpy(coords)
    out = np.empty((1, LEVELS * SAMPLES, side, side), np.float32)

    def ours() -> np.ndarray:
        return ops.correlation_on_demand(f1, features, coords, out=out)

    def peer() -> Tensor:
        return windows(levels_of(a, b), at)

    return Case(
        f"RAFT look-up on demand C{channels} {side}² r{RADIUS}",
        ours,
        {"volume, levels and grid_sample (torch)": peer},
        f1.nbytes + features.nbytes + coords.nbytes + out.nbytes,
        2 * channels * side**2 * LEVELS * (2 * RADIUS + 2) ** 2,
        float(np.abs(ours() - peer().numpy()).max()),
        wanted=0.0,
    )
