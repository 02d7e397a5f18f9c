"""The reference of `cineflow.ops.correlation` and `warp_correlation`."""

from __future__ import annotations

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
    batch, channels, height, width = f1.shape
    factors = {"mean": 1 / max(channels, 1), "sqrt": max(channels, 1) ** -0.5}
    factor = factors[scale] if isinstance(scale, str) else scale
    reach = radius * dilation
    first = f1.astype(np.float64)
    padded = np.pad(f2.astype(np.float64), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    steps = range(-radius, radius + 1)
    displacements = [(x, y) for y in steps for x in steps]
    if order == "xy":
        displacements = [(x, y) for x in steps for y in steps]
    out = np.zeros((batch, len(displacements), height, width))
    for channel, (x, y) in enumerate(displacements):
        top, left = reach + y * dilation, reach + x * dilation
        shifted = padded[:, :, top : top + height, left : left + width]
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
