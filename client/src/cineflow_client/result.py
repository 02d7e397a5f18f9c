"""The server's result for one frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Cause(IntEnum):
    """Why a frame is the reference: it is the stream's first frame, a trigger came with it, or it
    is an end-diastole that was found in the motion."""

    START = 0
    TRIGGER = 1
    MOTION = 2


class Rhythm(IntEnum):
    """The interval before this beat, compared with the median of the earlier intervals.

    UNKNOWN until two intervals are known. EARLY and LATE differ by more than 20 %: an ectopic beat
    or a double trigger is early, a pause or a missed trigger makes the next beat late.
    """

    UNKNOWN = 0
    REGULAR = 1
    EARLY = 2
    LATE = 3


@dataclass(frozen=True)
class BeatInfo:
    """The beat that a frame belongs to.

    Attributes:
        number: Counts from 0. Beat 0 lasts until the first trigger or found end-diastole.
        cause: Why its reference frame was chosen.
        delay_frames: Frames from the reference frame to the first result that refers to it. 0 for
            a trigger; more where end-diastole was found in the motion.
        rhythm: The interval before this beat. Also LATE while this beat lasts longer than beats do.
        drift_px: Mean displacement over the tissue when the previous beat ended, which would be 0
            without drift. None if that beat was not a whole regular one.
    """

    number: int
    cause: Cause
    delay_frames: int
    rhythm: Rhythm
    drift_px: float | None


@dataclass(frozen=True)
class QualityParts:
    """The measurements behind the quality; None if one was not measured.

    Attributes:
        expected_error_px: End-point error that frames like this one had on phantoms, px; infinite
            if no texture supports the flow.
        correlation: Correlation of the speckle with the next frame, warped back by the flow, -1..1.
        photometric_px: Spread of the position that a single pixel would give, from the residual,
            px.
        deformation: Norm of the flow's gradient, 1 per frame.
        appearance: Change of the picture compared with the recent frames, grey levels; None for a
            stream's first pair.
        temporal_px: Change of the flow since the previous pair, px; None for a stream's first pair.
        forward_backward_px: Distance after tracking there and back, px; None unless the server
            tracks backward.
        folding_percent: Share of the tissue that the flow folds over, %.
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
        displacement: float32 [2, H, W], on the reference frame's grid: the position of each point
            now, minus its position in the reference frame.
        quality: How far to trust the flow, 0..1; a frame below 1/2 is suspect.
        quality_parts: The measurements behind the quality.
        previous: Index of the frame where the flow starts.
        current: Index of this frame.
        reference: Index of the frame where the displacement starts.
        beat_info: The heart beat of this frame.
        latency_ms: From the call that sent the frame to the arrival of its result.
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
