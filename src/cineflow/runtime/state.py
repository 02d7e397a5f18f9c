"""What a stream says about a frame, and what it must remember for the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from cineflow.motion.blocks import BlockMotion
from cineflow.motion.finder import BeatFinder
from cineflow.motion.quality import Quality
from cineflow.motion.rhythm import Intervals, Rhythm


class Cause(IntEnum):
    """Why the reference frame is what it is: the stream's first frame, a trigger that came with its
    frame, or end-diastole found in the motion."""

    START = 0
    TRIGGER = 1
    MOTION = 2


@dataclass(frozen=True)
class BeatInfo:
    """The beat that a frame belongs to.

    Attributes:
        number: From 0; 0 is what comes before the first trigger or found end-diastole.
        cause: Why it has the reference frame that it has.
        delay_frames: Frame numbers from the reference to the frame whose result was the first to
            refer to it: 0 for a trigger, some more where end-diastole was found in the motion.
        rhythm: How the interval before this beat was; LATE, too, while the beat itself goes on for
            longer than beats do (a missed trigger, or none found): the displacement then drifts on.
            Before the first beat that takes frame times, and 2 s: without times it is UNKNOWN.
        drift_px: Loop closure of the beat before: how far its displacement was from zero when its
            heart was back, mean over the tissue. Nothing is compensated. None before the first
            whole beat, and after one that was EARLY or LATE: its heart was not back.
    """

    number: int = 0
    cause: Cause = Cause.START
    delay_frames: int = 0
    rhythm: Rhythm = Rhythm.UNKNOWN
    drift_px: float | None = None


@dataclass(frozen=True, eq=False)
class MotionResult:
    """Motion of one frame. Pixels; x right, y down; channel 0 = x, 1 = y.

    Attributes:
        flow: f32 [2, H, W], previous to current, on the previous frame's grid; zeros for the first.
        displacement: f32 [2, H, W], reference to current, on the reference frame's grid.
        quality_parts: How far to trust the flow, and what that was made from.
        previous: Index of the frame that the flow starts from.
        current: Index of this frame.
        reference: Index of the frame that the displacement refers to.
        beat_info: The heart beat that it belongs to.
    """

    flow: np.ndarray
    displacement: np.ndarray
    quality_parts: Quality
    previous: int
    current: int
    reference: int
    beat_info: BeatInfo

    @property
    def quality(self) -> float:
        """How far to trust the flow, 0..1; 1 for the first frame."""
        return self.quality_parts.index

    @property
    def beat(self) -> int:
        """Number of the heart beat, from 0."""
        return self.beat_info.number


@dataclass(frozen=True, eq=False)
class Candidate:
    """The frame that becomes the reference if the motion turns back after it.

    Attributes:
        displacement: f32 [2, H, W] px since that frame, on its grid.
        index: Its index.
        clock: Its time on the clock of the intervals.
        closure_px: Mean length of the displacement since the reference when it was the last frame.
    """

    displacement: np.ndarray
    index: int
    clock: float
    closure_px: float


@dataclass(frozen=True, eq=False)
class StreamState:
    """Everything that the next frame needs; the arrays are never written to again.

    Its size is bounded: three fields of the frame's size, and a few kilobytes per hundred frames
    for at most 512 of them.

    Attributes:
        frame: The last frame, f32 [H, W], grey levels 0..255.
        displacement: f32 [2, H, W] px, since the reference frame, on its grid.
        index: Index of the last frame.
        reference: Index of the reference frame.
        model: Whose state it is, `MotionStream.model`: another model's stream refuses it.
        beat: The heart beat that the last frame belongs to.
        intervals: The beats so far.
        time_ms: Time of the last frame; None where the stream is given no times.
        motion: The last pair's motion by blocks; None before the first.
        finder: Looks for beats in the motion; None where the stream is given triggers.
        candidate: The finder's, None without one.
        tensors: The model's own state, `<name>_out` of the last frame by `<name>`; empty for a
            model without state, and before its first pair.
    """

    frame: np.ndarray
    displacement: np.ndarray
    index: int
    reference: int
    model: str
    beat: BeatInfo = field(default_factory=BeatInfo)
    intervals: Intervals = field(default_factory=Intervals)
    time_ms: float | None = None
    motion: BlockMotion | None = None
    finder: BeatFinder | None = None
    candidate: Candidate | None = None
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def clock(self) -> float:
        """Now, on the clock of the intervals: ms, or frame numbers without times."""
        return float(self.index) if self.time_ms is None else self.time_ms
