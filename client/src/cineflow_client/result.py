"""What the server says about one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Result:
    """Motion of one frame. Pixels; x right, y down; channel 0 = x, 1 = y.

    Attributes:
        flow: float32 [2, H, W], on the previous frame's grid: current(p + flow(p)) ~ previous(p).
            Zeros for the first frame.
        displacement: float32 [2, H, W], on the reference frame's grid: where each of its points is
            now, minus where it was.
        quality: How well the flow explains the picture, 0..1.
        previous: Index of the frame that the flow starts from.
        current: Index of this frame.
        reference: Index of the frame that the displacement refers to.
        beat: Number of the heart beat, from 0.
        latency_ms: From the call that sent the frame to its result being here.
    """

    flow: np.ndarray
    displacement: np.ndarray
    quality: float
    previous: int
    current: int
    reference: int
    beat: int
    latency_ms: float
