"""The result of one frame, and the state that a stream keeps for the next frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from cineflow.errors import SpecError
from cineflow.motion.blocks import BlockMotion, block_size
from cineflow.motion.finder import MOMENTS, BeatFinder
from cineflow.motion.quality import Quality
from cineflow.motion.rhythm import Intervals, Rhythm
from cineflow.runtime.sizes import shape_at, takes
from cineflow.spec import ModelSpec

_REMEDY = "Start a new stream, or use the model that the state was taken from."


class Cause(IntEnum):
    """Why a frame is the reference: it is the stream's first frame, a trigger came with it, or it
    is an end-diastole that was found in the motion."""

    START = 0
    TRIGGER = 1
    MOTION = 2


@dataclass(frozen=True)
class BeatInfo:
    """The beat that a frame belongs to.

    Attributes:
        number: Counts from 0. Beat 0 lasts until the first trigger or found end-diastole.
        cause: Why its reference frame was chosen.
        delay_frames: Frames from the reference frame to the first result that refers to it. 0 for
            a trigger; more where end-diastole was found in the motion.
        rhythm: The interval before this beat. Also LATE while this beat lasts longer than beats do
            (a trigger was missed, or no beat was found): the displacement then drifts. Before the
            first beat, LATE needs frame times and comes after 2 s; without times the rhythm stays
            UNKNOWN.
        drift_px: Loop closure of the previous beat: the mean displacement over the tissue when the
            heart was back in its starting position. Nothing is compensated. None before the first
            whole beat, and after a beat that was EARLY or LATE, because the heart was not back.
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
        quality_parts: How far to trust the flow, and the measurements behind it.
        previous: Index of the frame where the flow starts.
        current: Index of this frame.
        reference: Index of the frame where the displacement starts.
        beat_info: The heart beat of this frame.
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
    """A frame that becomes the reference if the motion turns back after it.

    Attributes:
        displacement: f32 [2, H, W] px since that frame, on its grid.
        index: Its index.
        clock: Its time on the clock of the intervals.
        closure_px: Mean length of the displacement from the reference frame to this frame, px.
    """

    displacement: np.ndarray
    index: int
    clock: float
    closure_px: float


@dataclass(frozen=True, eq=False)
class StreamState:
    """Everything that the next frame needs. The arrays are never written to again.

    Its size is bounded: three fields of the frame's size, and a few kilobytes per hundred frames
    for at most 512 of them.

    Attributes:
        frame: The last frame, f32 [H, W], grey levels 0..255.
        displacement: f32 [2, H, W] px, since the reference frame, on its grid.
        index: Index of the last frame.
        reference: Index of the reference frame.
        model: `MotionStream.model` of the stream that it comes from. Another model's stream refuses
            the state.
        beat: The heart beat of the last frame.
        intervals: The beats so far.
        time_ms: Time of the last frame; None if the stream gets no times.
        motion: Motion of the last pair by blocks; None before the first pair.
        finder: Looks for beats in the motion; None if the stream gets triggers.
        candidate: The finder's candidate, or None.
        tensors: The model's own state: `<name>_out` of the last frame by `<name>`. Empty for a
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

    def require_fits(self, spec: ModelSpec, model: str) -> None:
        """Check that a stream can continue from this state.

        Args:
            spec: The model of that stream.
            model: `Engine.model` of its engine.

        Raises:
            SpecError: The state belongs to another model, or an index or array in it is not what
                this model makes.
        """
        if self.model != model:
            raise SpecError(f"a state of {model}", f"one of {self.model}", _REMEDY)
        # Before the first pair there is no model state yet: the stream starts it with zeros.
        names = [] if self.motion is None else sorted(tensor.name for tensor in spec.states)
        if sorted(self.tensors) != names:
            raise SpecError(f"a state with the tensors {names}", f"{sorted(self.tensors)}", _REMEDY)
        size = np.shape(self.frame)
        if not takes(spec.inputs[0].shape[-2:], size):
            raise SpecError(
                f"a state with a frame of a size that {spec.name} takes",
                f"one of {list(size)}",
                _REMEDY,
            )
        _require_count("index", self.index, least=0)
        _require_count("reference", self.reference, least=0)
        if self.motion is not None:
            _require_count("number of frames", self.motion.frames, least=1)
        for part in self._parts(spec, size):
            part.require()

    def _parts(self, spec: ModelSpec, size: tuple[int, ...]) -> Iterator[_Part]:
        """Every array of this state with the type and shape that it needs at `size` (H, W)."""
        field_shape = [2, *size]
        yield _Part("frame", self.frame, "float32", [*size])
        yield _Part("displacement", self.displacement, "float32", field_shape)
        if self.candidate is not None:
            yield _Part("candidate", self.candidate.displacement, "float32", field_shape)
        if self.motion is not None:
            blocks = [extent // side for extent, side in zip(size, block_size(size), strict=True)]
            yield _Part("flow", self.motion.flow, "float32", [2, *blocks])
            yield _Part("tissue", self.motion.tissue, "float64", blocks)
            yield _Part("grey", self.motion.grey, "float64", blocks)
        if self.finder is not None:
            length = np.shape(self.finder.path)[:1]
            yield _Part("path", self.finder.path, "float64", [*length, MOMENTS])
        for tensor in spec.states if self.tensors else ():
            shape = shape_at(tensor.shape, size)
            yield _Part(tensor.name, self.tensors[tensor.name], tensor.dtype, shape)


class _Part(NamedTuple):
    """One array of a state, and what it must be."""

    name: str
    array: np.ndarray
    dtype: str
    shape: list[int]

    def require(self) -> None:
        wanted = (self.dtype, self.shape)
        found = (str(np.asarray(self.array).dtype), list(np.shape(self.array)))
        if found != wanted:
            raise SpecError(f"{self.name} of a state as {wanted}", f"{found}", _REMEDY)
        if not np.isfinite(self.array).all():
            raise SpecError(f"finite values in {self.name} of a state", "NaN or inf", _REMEDY)


def _require_count(name: str, number: object, *, least: int) -> None:
    if not isinstance(number, (int, np.integer)) or number < least:
        raise SpecError(f"a whole {name} of {least} or more", repr(number), _REMEDY)
