"""Correlation cases, plain and fused with the warp."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from benchmarks.ops import peers
from benchmarks.ops.case import Case
from benchmarks.ops.machine import smooth_flow
from cineflow import ops

RADIUS = 4


def correlation(channels: int, side: int) -> Case:
    rng = np.random.default_rng(0)
    f1, f2 = rng.standard_normal((2, 1, channels, side, side), dtype=np.float32)
    shifts = (2 * RADIUS + 1) ** 2
    out = np.empty((1, shifts, side, side), np.float32)
    a, b = torch.from_numpy(f1), torch.from_numpy(f2)

    def ours() -> np.ndarray:
        return ops.correlation(f1, f2, radius=RADIUS, out=out)

    error = float(np.abs(ours() - peers.banded_gemms(a, b, RADIUS).numpy()).max())
    return Case(
        f"correlation C{channels} {side}² r{RADIUS}",
        ours,
        {"9 banded GEMMs (torch)": lambda: peers.banded_gemms(a, b, RADIUS)},
        f1.nbytes + f2.nbytes + out.nbytes,
        2 * channels * side * side * shifts,
        error,
        wanted=6.0 if (channels, side) == (64, 56) else 4.0,
    )


def warp_correlation(channels: int, side: int, fused: bool) -> Case:
    """Correlation with warped features: fused, or as our two separate ops."""
    rng = np.random.default_rng(0)
    f1, f2 = rng.standard_normal((2, 1, channels, side, side), dtype=np.float32)
    flow = smooth_flow(rng, 1, side, side)
    shifts = (2 * RADIUS + 1) ** 2
    out = np.empty((1, shifts, side, side), np.float32)
    warped = np.empty_like(f2)
    grid = torch.from_numpy(peers.normalised_grid(flow, True).astype(np.float32))
    a, b = torch.from_numpy(f1), torch.from_numpy(f2)

    def ours() -> np.ndarray:
        if fused:
            return ops.warp_correlation(f1, f2, flow, radius=RADIUS, out=out)
        return ops.correlation(f1, ops.warp(f2, flow, out=warped), radius=RADIUS, out=out)

    def peer() -> torch.Tensor:
        moved = functional.grid_sample(b, grid, align_corners=True)
        return peers.banded_gemms(a, moved, RADIUS)

    error = float(np.abs(ours() - peer().numpy()).max())
    return Case(
        f"warp_correlation C{channels} {side}² r{RADIUS}" + ("" if fused else ", in two calls"),
        ours,
        {"grid_sample, 9 banded GEMMs (torch)": peer},
        f1.nbytes + f2.nbytes + flow.nbytes + out.nbytes,
        2 * channels * side * side * shifts + 8 * f2.size,
        error,
        wanted=0.0,
    )
