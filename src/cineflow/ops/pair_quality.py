"""What the statistics of a pair over blocks say about its flow.

This is the inner part of `cineflow.motion.quality`, which explains the quality and its sources.
It takes NumPy arrays only: the statistics of a pair on a card come to host memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cineflow import _C


class PairQuality(NamedTuple):
    """Parts of one pair's quality, and the recent picture.

    Attributes:
        supported: Whether there is textured tissue; without it the parts are undefined.
        photometric_px, correlation, deformation: Figures of the worse tissue.
        folded: Share of the tissue where the flow folds, 0..1.
        appearance, temporal_px: Changes since the pair before; undefined for the first pair.
        tissue: Running mean of pixels times squared brightness, f64 [h, w].
        grey: Running mean of the grey level, f64 [h, w].
    """

    supported: bool
    photometric_px: float
    correlation: float
    deformation: float
    folded: float
    appearance: float
    temporal_px: float
    tissue: np.ndarray
    grey: np.ndarray


def pair_quality(
    statistics: np.ndarray,
    flow_before: np.ndarray | None = None,
    tissue_before: np.ndarray | None = None,
    grey_before: np.ndarray | None = None,
    frames: float = 1.0,
) -> PairQuality:
    """Parts of the quality. `csrc/core/cpu/pair_quality.cpp` defines them.

    Args:
        statistics: f32 [14, h, w], as `pair_blocks` returns them.
        flow_before: Block flow of the pair before, f32 [2, h, w] px; None for the first pair.
        tissue_before: That pair's `tissue`, f64 [h, w].
        grey_before: That pair's `grey`, f64 [h, w].
        frames: Frames that this pair spans, as a multiple of those of the pair before.
    """
    parts = _C.pair_quality(statistics, flow_before, tissue_before, grey_before, frames)
    return PairQuality(*parts)
