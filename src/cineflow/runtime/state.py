"""What a stream remembers from one frame to the next, and whether a model can go on from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError, FrameError, SpecError
from cineflow.motion.blocks import BlockMotion, block_size
from cineflow.motion.finder import MOMENTS, BeatFinder
from cineflow.motion.rhythm import Intervals
from cineflow.runtime.feed import FeedState, FrameFeed
from cineflow.served import BeatInfo

_REMEDY = "Start a new stream, or go on with the model that the state was taken from."


@dataclass(frozen=True, eq=False)
class Candidate:
    """The frame that becomes the reference if the motion turns back after it.

    Attributes:
        displacement: f32 [2, H, W] px since that frame, on its grid; it may be held on a card.
        index: Its index.
        clock: Its time on the clock of the intervals.
        closure_px: Mean length of the displacement since the reference when it was the last frame;
            None where no tissue is known.
    """

    displacement: np.ndarray
    index: int
    clock: float
    closure_px: float | None


@dataclass(frozen=True, eq=False)
class Track:
    """The motion since the reference frame, for models whose motion refers to beats.

    Attributes:
        displacement: f32 [n, ...] px, since the reference frame, on its grid; None for a model that
            gives the displacement itself. It may be held on a card.
        reference: Index of the reference frame.
        beat: The heart beat that the last frame belongs to.
        intervals: The beats so far.
        motion: The last pair's motion by blocks; None before the first, and for volumes.
        finder: Looks for beats in the motion; None where the stream is given triggers.
        candidate: The finder's, None without one.
    """

    displacement: np.ndarray | None
    reference: int
    beat: BeatInfo = field(default_factory=BeatInfo)
    intervals: Intervals = field(default_factory=Intervals)
    motion: BlockMotion | None = None
    finder: BeatFinder | None = None
    candidate: Candidate | None = None


@dataclass(frozen=True, eq=False)
class StreamState:
    """Everything that the next frame needs; the arrays are never written to again.

    Its size is bounded: the frames that the feed keeps, two fields of the frame's size, the model's
    own tensors, and a few kilobytes per hundred frames for at most 512 of them.

    Attributes:
        model: Whose state it is, `Stream.model`: another model's stream refuses it.
        index: Index of the last frame.
        feed: The frames that the next run needs.
        time_ms: Time of the last frame; None where the stream is given no times.
        tensors: The model's own state, `<name>_out` of the last run by `<name>`; empty before it.
        given: Inputs that were given with the first frame, by name.
        spacing_mm: mm per pixel along the frame's axes; None where lengths stay in pixels.
        track: The motion since the reference frame; None for a model without any.
        ran: Whether the model has run: before that it carries nothing.
    """

    model: str
    index: int
    feed: FeedState
    time_ms: float | None = None
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    given: Mapping[str, np.ndarray] = field(default_factory=dict)
    spacing_mm: tuple[float, ...] | None = None
    track: Track | None = None
    ran: bool = False

    @property
    def clock(self) -> float:
        """Now, on the clock of the intervals: ms, or frame numbers without times."""
        return float(self.index) if self.time_ms is None else self.time_ms

    def require_fits(self, feed: FrameFeed, model: str) -> None:
        """Raise `SpecError` unless the stream of `model` can go on from this state.

        Args:
            feed: Of the model that shall go on.
            model: Its `Engine.model`.
        """
        if self.model != model:
            raise SpecError(f"a state of {model}", f"one of {self.model}", _REMEDY)
        shape = tuple(np.shape(self.feed.last))
        if len(shape) != feed.feed.rank:
            raise SpecError(
                f"a state with a frame of {feed.feed.rank} axes", f"{list(shape)}", _REMEDY
            )
        try:
            feed.require_size(shape)
        except FrameError as error:
            raise SpecError(f"a state with {error.wanted}", error.got, _REMEDY) from error
        self._require_counts()
        own = sorted(one.name for one in feed.spec.states) if self.ran else []
        if sorted(self.tensors) != own:
            raise SpecError(f"a state with the tensors {own}", f"{sorted(self.tensors)}", _REMEDY)
        for name, array, wanted in (
            *self._feed_arrays(feed, shape),
            *self._own_arrays(feed, shape),
            *self._track_arrays(shape),
        ):
            found = (str(np.asarray(array).dtype), list(np.shape(array)))
            if found != wanted:
                raise SpecError(f"{name} of a state as {wanted}", f"{found}", _REMEDY)
            if not np.isfinite(array).all():
                raise SpecError(f"finite values in {name} of a state", "NaN or inf", _REMEDY)

    def _require_counts(self) -> None:
        counts = {"index": (self.index, 0)}
        if self.track is not None:
            counts["reference"] = (self.track.reference, 0)
            if self.track.motion is not None:
                counts["number of frames"] = (self.track.motion.frames, 1)
        for name, (number, least) in counts.items():
            if not isinstance(number, (int, np.integer)) or number < least:
                raise SpecError(f"a whole {name} of {least} or more", repr(number), _REMEDY)

    def _feed_arrays(self, feed: FrameFeed, shape: tuple[int, ...]) -> Iterator[_Part]:
        wanted = ("float32", list(shape))
        yield "the last frame", self.feed.last, wanted
        if feed.keeps_reference != (self.feed.reference is not None):
            raise SpecError(
                "a state with a reference frame" if feed.keeps_reference else "a state without one",
                "one without" if feed.keeps_reference else "a reference frame",
                _REMEDY,
            )
        if self.feed.reference is not None:
            yield "the reference frame", self.feed.reference, wanted
        if len(self.feed.window) > max(feed.feed.length - 1, 0):
            raise SpecError(
                f"a state with at most {feed.feed.length - 1} frames of a window",
                f"{len(self.feed.window)}",
                _REMEDY,
            )
        for frame in self.feed.window:
            yield "a window's frame", frame, wanted

    def _own_arrays(self, feed: FrameFeed, shape: tuple[int, ...]) -> Iterator[_Part]:
        sizes = feed.image_sizes(shape)
        at_start = {one.name: one for one in feed.spec.inputs if one.name in feed.feed.at_start}
        if sorted(self.given) != sorted(at_start):
            raise SpecError(
                f"a state with the given inputs {sorted(at_start)}",
                f"{sorted(self.given)}",
                _REMEDY,
            )
        tensors = [(at_start[name], array) for name, array in self.given.items()]
        tensors += [(one, self.tensors[one.name]) for one in feed.spec.states if self.ran]
        for tensor, array in tensors:
            try:
                tensor.check(np.asarray(array), sizes)
            except ArgumentError as error:
                raise SpecError(f"in a state, {error.wanted}", error.got, _REMEDY) from error
            yield tensor.name, array, (tensor.dtype, list(np.shape(array)))

    def _track_arrays(self, shape: tuple[int, ...]) -> Iterator[_Part]:
        track = self.track
        if track is None:
            return
        field_ = ("float32", [len(shape), *shape])
        if track.displacement is not None:
            yield "displacement", track.displacement, field_
        if track.candidate is not None:
            yield "candidate", track.candidate.displacement, field_
        if track.motion is not None:
            size = (shape[-2], shape[-1])
            blocks = [extent // side for extent, side in zip(size, block_size(size), strict=True)]
            yield "flow", track.motion.flow, ("float32", [2, *blocks])
            yield "tissue", track.motion.tissue, ("float64", blocks)
            yield "grey", track.motion.grey, ("float64", blocks)
        if track.finder is not None:
            path = track.finder.path
            yield "path", path, ("float64", [*np.shape(path)[:1], MOMENTS])


def require_state(state: Any) -> StreamState:
    """`state` if it is one; raises `SpecError` otherwise."""
    if not isinstance(state, StreamState):
        raise SpecError("a StreamState", type(state).__name__, "Take it from `stream.state()`.")
    return state


#: An array of a state: its name in messages, the array, and the dtype and shape that it must have.
_Part = tuple[str, np.ndarray, tuple[str, list[int]]]
