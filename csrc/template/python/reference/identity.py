"""The reference of `cineflow.ops.identity`."""

from __future__ import annotations

import numpy as np


def identity(src: np.ndarray) -> np.ndarray:
    """`out = src` [N, C, H, W], float64."""
    out = np.zeros(src.shape)
    for index in np.ndindex(src.shape):
        out[index] = float(src[index])
    return out
