"""The reference of `cineflow.ops.correlation` and `warp_correlation`."""

from __future__ import annotations

import itertools

import numpy as np

from cineflow.reference.warp import warp


def correlation(
    f1: np.ndarray,
    f2: np.ndarray,
    *,
    radius: int = 4,
    dilation: int = 1,
    scale: str | float = "mean",
    order: str = "yx",
) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.correlation`; result float64."""
    batch, channels, *size = f1.shape
    factors = {"mean": 1 / max(channels, 1), "sqrt": max(channels, 1) ** -0.5}
    factor = factors[scale] if isinstance(scale, str) else scale
    reach = radius * dilation
    first = f1.astype(np.float64)
    margins = ((0, 0), (0, 0), *[(reach, reach)] * len(size))
    padded = np.pad(f2.astype(np.float64), margins)
    # Displacements in the order of the axes, ([z,] y, x); the last one counts fastest.
    displacements = list(itertools.product(range(-radius, radius + 1), repeat=len(size)))
    if order == "xy":  # the first one counts fastest
        displacements = [one[::-1] for one in displacements]
    out = np.zeros((batch, len(displacements), *size))
    for channel, displacement in enumerate(displacements):
        starts = [reach + step * dilation for step in displacement]
        window = [slice(start, start + side) for start, side in zip(starts, size, strict=True)]
        shifted = padded[(slice(None), slice(None), *window)]
        out[:, channel] = factor * (first * shifted).sum(axis=1)
    return out


def warp_correlation(
    f1: np.ndarray,
    f2: np.ndarray,
    flow: np.ndarray,
    *,
    border: str = "zeros",
    radius: int = 4,
    dilation: int = 1,
    scale: str | float = "mean",
    order: str = "yx",
) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.warp_correlation`; result float64."""
    warped = warp(f2, flow, border=border)
    return correlation(f1, warped, radius=radius, dilation=dilation, scale=scale, order=order)
