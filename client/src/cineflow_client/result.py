"""What the server says about one frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Cause(IntEnum):
    """Why the reference frame is what it is: the stream's first frame, a trigger that came with its
    frame, or end-diastole found in the motion."""

    START = 0
    TRIGGER = 1
    MOTION = 2


class Rhythm(IntEnum):
    """How the interval before this beat was, against the median of the beats before it.

    UNKNOWN until two intervals are known; EARLY and LATE are more than 20 % off (ectopic beat or
    double trigger; missed trigger or pause).
    """

    UNKNOWN = 0
    REGULAR = 1
    EARLY = 2
    LATE = 3


@dataclass(frozen=True)
class BeatInfo:
    """The beat that a frame belongs to.

    Attributes:
        number: From 0; 0 is what comes before the first trigger or found end-diastole.
        cause: Why it has the reference frame that it has.
        delay_frames: Frame numbers from the reference to the frame whose result was the first to
            refer to it: 0 for a trigger, some more where end-diastole was found in the motion.
        rhythm: LATE, too, while the beat itself goes on for longer than beats do.
        drift_px: How far the displacement was from zero when the beat before ended, mean over the
            tissue; None where no whole regular beat has ended.
    """

    number: int
    cause: Cause
    delay_frames: int
    rhythm: Rhythm
    drift_px: float | None


@dataclass(frozen=True)
class QualityParts:
    """What the quality was made from; None where it was not measured.

    Attributes:
        expected_error_px: End-point error that frames like this one had on phantoms, px; infinite
            where no texture supports the flow.
        correlation: Of the speckle with the next frame's, brought back by the flow, -1..1.
        photometric_px: Spread of the position that one pixel would give, from the residual.
        deformation: Of the flow, 1 per frame.
        appearance: Change of the picture itself from what it was lately, grey levels; None for a
            stream's first pair.
        temporal_px: Change of the flow since the pair before; None for a stream's first pair.
        forward_backward_px: Way from home there and back; None unless the server runs backward.
        folding_percent: Share of the tissue that the flow turns over.
    """

    expected_error_px: float
    correlation: float | None
    photometric_px: float | None
    deformation: float | None
    appearance: float | None
    temporal_px: float | None
    forward_backward_px: float | None
    folding_percent: float | None


@dataclass(frozen=True, eq=False)
class Result:
    """Motion of one frame. Pixels; x right, y down; channel 0 = x, 1 = y.

    Attributes:
        flow: float32 [2, H, W], on the previous frame's grid: current(p + flow(p)) ~ previous(p).
            Zeros for the first frame.
        displacement: float32 [2, H, W], on the reference frame's grid: where each of its points is
            now, minus where it was.
        quality: How far to trust the flow, 0..1; below 1/2 the frame is suspect.
        quality_parts: What the quality was made from.
        previous: Index of the frame that the flow starts from.
        current: Index of this frame.
        reference: Index of the frame that the displacement refers to.
        beat_info: The heart beat that it belongs to.
        latency_ms: From the call that sent the frame to its result being here.
    """

    flow: np.ndarray
    displacement: np.ndarray
    quality: float
    quality_parts: QualityParts
    previous: int
    current: int
    reference: int
    beat_info: BeatInfo
    latency_ms: float

    @property
    def beat(self) -> int:
        """Number of the heart beat, from 0."""
        return self.beat_info.number
