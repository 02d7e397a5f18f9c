"""What a stream says about one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


class Cause(IntEnum):
    """Why the reference frame is what it is: the stream's first frame, a trigger that came with its
    frame, end-diastole found in the motion, or the first frame after a gap."""

    START = 0
    TRIGGER = 1
    MOTION = 2
    GAP = 3


class Rhythm(IntEnum):
    """The last interval between two beats, or the time since the last beat.

    EARLY and LATE are more than 20 % off the median of the last eight intervals. EARLY is an
    ectopic beat or a double trigger; LATE is a missed trigger or a pause. If frame times are known,
    above 220 beats per minute is also EARLY and below 30 also LATE. UNKNOWN lasts until two
    intervals are known; without beats and frame times it never ends.
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
        delay_frames: Frames from the reference to the first result that referred to it: 0 for a
            trigger, more where end-diastole was found in the motion.
        rhythm: How the interval before this beat was. LATE also while the beat itself goes on for
            longer than beats do (a missed trigger, or none found): the displacement then drifts.
        drift_px: Loop closure of the beat before: how far its displacement was from zero when its
            heart was back, mean over the tissue. Nothing is compensated. None before the first
            whole beat, and after one that was EARLY or LATE: its heart was not back.
    """

    number: int = 0
    cause: Cause = Cause.START
    delay_frames: int = 0
    rhythm: Rhythm = Rhythm.UNKNOWN
    drift_px: float | None = None


@dataclass(frozen=True)
class Quality:
    """How well one pair of frames supports the flow between them.

    Frames without texture (black or uniform) cannot be measured. The index is then 0, the expected
    error infinite, and the parts are NaN, or None where they are optional.

    Attributes:
        index: 0 (no support) to 1. It falls as `expected_error_px` grows. It is 1/2 at the error
            that best separated failed from good frames on the tuning phantoms.
        expected_error_px: End-point error of frames with these parts on the tuning phantoms
            (geometric mean over the wall), px; infinite without texture.
        correlation: Correlation, -1..1, of the speckle with the next frame's warped back by the
            flow. Four fifths of the tissue exceed it.
        photometric_px: Standard deviation of a position estimated from one pixel, by residual and
            gradient (Cramer-Rao). Four fifths of the tissue are better.
        deformation: |du/dx| of the flow, 1 per frame. Nine tenths of the tissue deform less.
        appearance: Difference of the picture from its running mean over about five frames, grey
            levels. Four fifths of the tissue change less. None for a stream's first pair.
        temporal_px: Change of the flow since the previous pair, scaled to the time between frames,
            mean over the tissue; None for a stream's first pair.
        forward_backward_px: Mean |f(p) + b(p + f(p))| over the tissue; None unless the backward
            flow was computed.
        folding_percent: Share of the tissue where the flow folds the picture.
    """

    index: float
    expected_error_px: float
    correlation: float | None
    photometric_px: float | None
    deformation: float | None
    appearance: float | None
    temporal_px: float | None
    forward_backward_px: float | None
    folding_percent: float | None

    @classmethod
    def untracked(cls) -> Quality:
        """A stream's first frame: nothing was tracked, so nothing can be wrong."""
        return cls(1.0, 0.0, 1.0, 0.0, 0.0, None, None, None, 0.0)


@dataclass(frozen=True, eq=False)
class Output:
    """One output of the model, as the model gives it.

    Attributes:
        values: The array, with the batch and time axes that the spec states.
        unit: Unit of the values.
        frame: Coordinate frame of the values or the grid.
        role: "labels", "points", ...; "" for an output that only its name explains.
        names: Classes or points that the values stand for.
        places: What the values along one axis belong to (AHA segments): the first of that size.
    """

    values: np.ndarray
    unit: str
    frame: str = ""
    role: str = ""
    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Times:
    """When a frame passed where.

    Three clocks take part. `captured_ms` is on the application's own. `sent_s` and `received_s`
    are seconds of the client's monotonic clock (`time.perf_counter`). `started_s` and `computed_s`
    are seconds of the server's monotonic clock. `offset_s` leads from one to the other. In process
    there is one clock, and the offset is 0.

    Attributes:
        captured_ms: When the frame was taken, as the application gave it (`time_ms`); None without.
        sent_s: When the frame was handed over (`push`, `submit`).
        started_s: When its computation began.
        computed_s: When its computation ended.
        received_s: When the result was there.
        offset_s: The server's clock less the client's, as far as the frames so far bound it: no
            frame is computed before it is sent, or received before it is computed.
        offset_error_s: The offset is wrong by this at most.
    """

    captured_ms: float | None
    sent_s: float
    started_s: float
    computed_s: float
    received_s: float
    offset_s: float = 0.0
    offset_error_s: float = 0.0

    @property
    def compute_ms(self) -> float:
        """How long the computation took, ms."""
        return 1e3 * (self.computed_s - self.started_s)

    @property
    def travel_ms(self) -> float:
        """What the frame took beyond its computation: both ways, and the server's queue, ms."""
        return 1e3 * (self.received_s - self.sent_s) - self.compute_ms


@dataclass(frozen=True)
class Deadline:
    """What the server says of the rate and the budget that a stream has declared.

    Attributes:
        holds: Whether it expects to hold them; None while it has not measured anything yet.
        expected_ms: The longest that a frame is expected to take at the server, if one frame of
            each other live stream is before it, ms; NaN while nothing is measured.
        load: Share of the model's time that all live streams take, 0..1 and above.
        late_frames: Frames of this stream whose result came later than the budget, so far.
    """

    holds: bool | None
    expected_ms: float
    load: float
    late_frames: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What a stream says about one frame.

    Readings that this frame does not have are None, and `absent` says why. n is 2 for images
    [H, W] and 3 for volumes [D, H, W]; x points right, y down; vectors have x first.

    Attributes:
        outputs: The model's outputs by name. Empty where the model did not run: the first frame of
            a pair, a window that is not full, a frame between two hops.
        current: Index of this frame.
        previous: Index of the frame that the flow starts from; `current` for the first.
        reference: Index of the frame that the displacement refers to.
        described: Index of the frame that the outputs and what is read off them describe:
            `current`, less the latency of a window. Quality and beat are those of `current`.
        flow: float32 [n, ...] px, on the previous frame's grid: current(p + flow(p)) ~ previous(p).
            Zeros for the first frame.
        displacement: float32 [n, ...] px, on the reference frame's grid: where each of its points
            is now, minus where it was.
        quality_parts: How far to trust the flow, and what that was made from.
        beat_info: The heart beat that this frame belongs to.
        points: float32 [K, n] px, x first.
        confidence: float32 [K]: the height of each point's heat map.
        lengths: float32 [K - 1] from each point to the next, in `unit`.
        areas: float32 [classes], in `unit` squared (cubed for volumes).
        strain: float32 [3 or 6, ...], a fraction: Green-Lagrange strain on the reference grid as
            xx, yy, xy (xx, yy, zz, xy, xz, yz). Only where it was asked for.
        repeat: Whether this frame is the last one over again, value for value.
        gap_frames: Frames lost between the stream's last frame and this one, by their indices.
        re_referenced: Whether more than `MOST_LOST_FRAMES` were lost. This frame is then treated as
            a stream's first: nothing was tracked, and it is the new reference.
        unit: "px", or "mm" where the stream knows its spacing.
        absent: Why a reading is None, or an output not there, by its name.
        engine: The runtime that ran the model, with its version ("onnxruntime 1.31.0").
        state: The stream after this frame, as bytes for another stream to go on from. Only where
            it was asked for; None in process, where `Stream.state` gives it.
        latency_ms: From the call that sent the frame to its result; None in process.
        times: When the frame passed where.
        deadline: How the stream stands to what it declared; None where it declared nothing.
    """

    outputs: Mapping[str, Output]
    current: int
    previous: int
    reference: int
    described: int
    flow: np.ndarray | None = None
    displacement: np.ndarray | None = None
    quality_parts: Quality | None = None
    beat_info: BeatInfo | None = None
    points: np.ndarray | None = None
    confidence: np.ndarray | None = None
    lengths: np.ndarray | None = None
    areas: np.ndarray | None = None
    strain: np.ndarray | None = None
    repeat: bool = False
    gap_frames: int = 0
    re_referenced: bool = False
    unit: str = "px"
    absent: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    state: bytes | None = None
    latency_ms: float | None = None
    times: Times | None = None
    deadline: Deadline | None = None

    @property
    def quality(self) -> float | None:
        """How far to trust the flow, 0..1, and 1 for the first frame; None without a flow."""
        return None if self.quality_parts is None else self.quality_parts.index

    @property
    def beat(self) -> int | None:
        """Number of the heart beat, from 0; None where beats are not followed."""
        return None if self.beat_info is None else self.beat_info.number


def changed(one: T, **values: Any) -> T:
    """A copy of a dataclass with other values, as `dataclasses.replace`, in less time.

    That goes through `__init__`, which sets each value of a frozen class by a call. So this is only
    for classes without `__slots__` and `__post_init__`.
    """
    copy = object.__new__(type(one))
    vars(copy).update(vars(one), **values)
    return copy
