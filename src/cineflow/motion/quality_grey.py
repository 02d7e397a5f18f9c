"""How much a poor range of grey levels takes from the quality of a clip.

The rule for the expected error was fitted on phantoms that use all grey levels. Rounding to whole
levels hides residuals, so a clip that uses few of them looks better than it is
(docs/motion/quality.md has the measurements).

So the expected error of every frame is multiplied by the larger of `LEAST_SPAN` / span and
`LEAST_LEVELS` / levels, and by no less than 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cineflow.motion.quality_rule import index_of
from cineflow.served import Quality

#: Grey levels from the 1st to the 99th percentile below which the range is poor.
LEAST_SPAN = 64
#: Different grey levels below which there are too few, whatever their range.
LEAST_LEVELS = 8


def grey_factor(frames: np.ndarray, inside: np.ndarray) -> float:
    """What the expected error of a clip is multiplied by, 1 or more.

    Args:
        frames: Grey levels, uint8 [T, H, W]. Reading stops at the first frame that is not poor.
        inside: The scan sector, bool [H, W].
    """
    counts = np.zeros(256, np.int64)
    span = 0
    for frame in frames:
        now = np.bincount(frame[inside], minlength=256)
        counts += now
        share = np.cumsum(now) / max(1, now.sum())
        low, high = np.searchsorted(share, [0.01, 0.99])
        span = max(span, int(high - low) + 1)
        levels = int((counts > 0).sum())
        if span >= LEAST_SPAN and levels >= LEAST_LEVELS:
            return 1.0
    return max(1.0, LEAST_SPAN / max(1, span), LEAST_LEVELS / max(1, int((counts > 0).sum())))


def lowered(quality: Quality, factor: float) -> Quality:
    """A quality whose expected error is `factor` times as large."""
    error = factor * quality.expected_error_px
    return replace(quality, expected_error_px=error, index=index_of(error))
