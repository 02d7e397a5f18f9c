"""Stream: feed -> engine -> readings, for one sequence of frames.

The same object works in process, inside Triton's Python backend and in tests. Its state can be
taken out and put back, and that is how a stream survives a restart or moves to another server: the
displacement was composed over every frame since the reference, so no picture can stand in for it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from cineflow.errors import ArgumentError, FrameError, SpecError
from cineflow.motion.fields import require_spacing
from cineflow.motion.quality import assess, halved
from cineflow.ops.held import Held, stays
from cineflow.runtime.carried import LeavesOutputs
from cineflow.runtime.engine import Engine
from cineflow.runtime.feed import FrameFeed, given_arrays, zero_states
from cineflow.runtime.following import numbered, require_same_spacing, require_time
from cineflow.runtime.on_card import flow_on_card, read_on_request
from cineflow.runtime.readings import (
    Room,
    area_readings,
    checked_outputs,
    landmark_readings,
    motion_of,
    places_of,
    raw_outputs,
    run_frame,
    strain_of,
)
from cineflow.runtime.selection import describe_engine
from cineflow.runtime.state import StreamState, Track, require_state
from cineflow.runtime.streamable import require_streamable
from cineflow.runtime.track import at_beat, composed_on, first_track
from cineflow.served import (
    MOST_LOST_FRAMES,
    BeatInfo,
    Cause,
    Quality,
    Result,
    Rhythm,
    Times,
    changed,
    has_reading,
    lacking,
    motion_outputs,
)
from cineflow.spec import FeedKind, ModelSpec, Role

__all__ = ["BeatInfo", "Cause", "Result", "Stream", "StreamState"]


class Stream:
    """Runs one sequence of frames of one size through a model.

    Args:
        engine: Runs the model; its `model` is kept in the state, and compared when a state comes
            back in.
        spec: The model. Its feed says what it sees of the frames, its roles what is read off its
            outputs.
        state: A state taken from another stream of the same model; it goes on from there.
        spacing_mm: mm per pixel along the frame's axes, (row, column) or (slice, row, column): the
            lengths and areas are in mm then. A state brings its own, and only that is taken.
        readings: Readings that are made only where they are asked for: "strain".
        backward: Also track each pair backward, at half size where the model takes that size, and
            judge the quality by both. A quarter of the engine's time more per frame (all of it
            again where the half size does not fit); without it the quality still stands.
        most_lost: Frames that may be lost in a row. After more, the next frame is treated as a
            first one, and is the new reference. A model that is given something with its first
            frame goes on instead, because that would no longer fit; the result states the gap.

    Raises:
        SpecError: The model is not one that streams, or cannot run backward; `state` is not a
            `StreamState`, is another model's, or its arrays are not what this model makes.
        ArgumentError: `spacing_mm` is not positive numbers, or not the state's; or a reading does
            not exist.
    """

    def __init__(
        self,
        engine: Engine,
        spec: ModelSpec,
        state: StreamState | None = None,
        *,
        spacing_mm: tuple[float, ...] | None = None,
        readings: tuple[str, ...] = (),
        backward: bool = False,
        most_lost: int = MOST_LOST_FRAMES,
    ) -> None:
        require_streamable(spec)
        if backward and (spec.states or spec.feed.kind != FeedKind.PAIR or spec.given_inputs):
            raise SpecError(
                "a model of a pair of frames, without state and given inputs, to be run backward",
                f"{spec.name}: {spec.feed.kind}, states {[one.name for one in spec.states]}",
            )
        if unknown := set(readings) - {"strain"}:
            raise ArgumentError("readings of: strain", f"{sorted(unknown)}")
        self.spec = spec
        self.model = engine.model
        self._engine = engine
        self._engine_words = describe_engine(engine)
        self._feed = FrameFeed(spec)
        self._served: Mapping[str, Any] = json.loads(spec.to_json())
        self._absent = lacking(self._served)
        self._backward = backward
        self._card, self._left = (None, ()) if backward else flow_on_card(engine, spec)
        self._takes_held = self._card is not None and cast(LeavesOutputs, engine).takes_held
        self._most_lost = most_lost
        self._strain = "strain" in readings
        self._follows_beats = has_reading(self._served, "beat_info")
        self._spacing = None
        if spacing_mm is not None:
            self._spacing = require_spacing(spacing_mm, spec.feed.rank)
        if state is not None:
            require_state(state).require_fits(self._feed, self.model)
            require_same_spacing(self._spacing, state.spacing_mm)
        self._state = state
        self._offered: dict[str, np.ndarray] = {}  # given at the start, before a frame was taken
        self._lock = threading.Lock()

    def state(self) -> StreamState | None:
        """What the next frame needs, for another stream to go on from; None before any frame."""
        return self._state

    def push(
        self,
        frame: np.ndarray,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
        given: Mapping[str, np.ndarray] | None = None,
        room: Room | None = None,
    ) -> Result:
        """Take one frame.

        Args:
            frame: Grey levels, u8 or f32 [H, W] or, for models of volumes, [D, H, W]; it is copied.
            index: The frame's number, above the last one's; one more than that by default. A gap
                says that frames were dropped.
            beat: Whether an R wave came with this frame: it becomes the reference at once,
                displacement starts at zero, and the beat's number grows. None: there are no
                triggers, and end-diastole is looked for in the motion (`cineflow.motion.finder`)
                until a first frame says True or False.
            time_ms: When the frame was taken, for heart rates that are absurd by themselves; for
                every frame of a stream or for none.
            given: The model's further inputs by name: those `at_start` with the first frame, the
                others with every frame.
            room: Gives memory for an output that travels raw, by its name, dtype and shape, or
                None. The result's output is there then, if the engine can write to it.

        Raises:
            FrameError: Rank, type, size, index, beat, time or a given input does not fit, or a
                value is not finite or out of range. The state is as before, and the next good
                frame is tracked against the last good one.
            EngineError: The engine failed or gave an output that is not finite; the state is as
                before.
        """
        started_s = time.perf_counter()
        if not self._lock.acquire(blocking=False):
            raise FrameError(
                "one frame at a time", "a push while another thread's is running",
                "Push from one thread, or take turns with a lock: the order of frames matters.",
            )  # fmt: skip
        try:
            if self._state is None:  # a first frame that is refused does not lose them
                once = set(self.spec.feed.at_start) & set(given or {})
                self._offered |= {name: np.array((given or {})[name]) for name in once}
                given = self._offered | dict(given or {})
            result, self._state = self._next(frame, index, beat, time_ms, given or {}, room)
        finally:
            self._lock.release()
        ended_s = time.perf_counter()
        captured_ms = None if time_ms is None else float(time_ms)
        times = Times(captured_ms, started_s, started_s, ended_s, ended_s)
        return changed(result, times=times)

    def require_fits(
        self,
        frame: np.ndarray,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
        given: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Raise what `push` raises before the model runs. Nothing changes, and it is quick."""
        self._given(given or {}, self._accepted(frame, index, beat, time_ms)[2])

    # -- one frame ---------------------------------------------------------------------------------

    def _next(
        self,
        frame: np.ndarray,
        index: int | None,
        beat: bool | None,
        time_ms: float | None,
        given: Mapping[str, np.ndarray],
        room: Room | None,
    ) -> tuple[Result, StreamState]:
        """The result of a frame and the state after it; nothing is assigned here."""
        before = self._state
        image, number, sizes = self._accepted(frame, index, beat, time_ms)
        at_start, each = self._given(given, sizes)
        gap = 0 if before is None else number - before.index - 1
        # The frame before this one, as the model and the readings see it.
        past = before if gap <= self._most_lost or self.spec.feed.at_start else None
        feed_before = None if past is None else past.feed
        grey = frame.copy() if frame.dtype == np.uint8 else None
        there = None
        if self._card is not None:
            there = Held(self._card.put(image if grey is None else grey), self._card)
        seen = there if self._takes_held else None
        inputs, feed, why = self._feed.inputs(feed_before, image, bool(beat), seen)
        if grey is not None or there is not None:
            feed = changed(feed, last_grey=grey, there=there)
        # A new reference also ends what the model carries, whether it runs for this frame or not.
        kept = past is not None and not (beat and self._feed.keeps_reference)
        carried = past.tensors if past is not None and kept else {}
        ran = past is not None and kept and past.ran
        arrays: dict[str, np.ndarray] = {}
        if inputs is not None:
            states = carried if ran else zero_states(self.spec, sizes)
            taken = inputs | at_start | each
            places = places_of(self.spec, sizes, room) if room is not None else {}
            arrays, carried = run_frame(self._engine, self.spec, taken, states, places, self._left)
            ran = True
        after = StreamState(
            model=self.model,
            index=number,
            feed=feed,
            time_ms=time_ms,
            tensors=carried,
            given=at_start,
            spacing_mm=self._spacing if before is None else before.spacing_mm,
            track=None if before is None else before.track,
            ran=ran,
        )
        if before is None or past is not None:
            result, after = self._read(past, after, arrays, beat, why)
            return changed(result, gap_frames=gap), after
        why = why and f"{gap} frames were lost before this one, which is taken as a first one"
        result, after = self._read(None, after, arrays, beat, why)
        return changed(result, gap_frames=gap, re_referenced=True), after

    def _read(
        self,
        before: StreamState | None,
        after: StreamState,
        arrays: Mapping[str, np.ndarray],
        beat: bool | None,
        why: str,
    ) -> tuple[Result, StreamState]:
        """The readings of a frame, and the state with its track."""
        size = after.feed.last.shape
        repeat = before is not None and _equal(before.feed.last, after.feed.last)
        readings: dict[str, Any] = {}
        flow = motion_of(self.spec, Role.FLOW, arrays, size) if arrays else None
        if self.spec.output_of(Role.FLOW) is not None and before is None:
            flow = np.zeros((len(size), *size), np.float32)  # nothing moved yet
        if self._follows_beats:
            quality, track = self._follow(before, after, flow, beat)
            after = replace(after, track=track)
            late = track.intervals.overdue(after.clock)
            readings["beat_info"] = replace(track.beat, rhythm=Rhythm.LATE) if late else track.beat
            readings["quality_parts"] = quality
            readings["flow"] = flow
            readings["displacement"] = track.displacement
        if arrays:
            spacing = after.spacing_mm
            if self.spec.output_of(Role.DISPLACEMENT) is not None:
                readings["displacement"] = motion_of(self.spec, Role.DISPLACEMENT, arrays, size)
            readings |= landmark_readings(self.spec, arrays, size, spacing)
            readings |= area_readings(self.spec, arrays, size, spacing)
        displacement = readings.get("displacement")
        if self._strain and displacement is not None:
            readings["strain"] = strain_of(displacement, after.spacing_mm)
        return self._result(before, after, arrays, readings, repeat=repeat, why=why), after

    def _follow(
        self, before: StreamState | None, after: StreamState, flow: np.ndarray | None,
        beat: bool | None,
    ) -> tuple[Quality | None, Track]:  # fmt: skip
        """Quality of the pair, and the track after it."""
        composed = self.spec.output_of(Role.FLOW) is not None
        judged = has_reading(self._served, "quality_parts")
        if before is None or before.track is None:
            track = first_track(
                after.feed.last.shape, after.index, after.clock, beat,
                timed=after.time_ms is not None, composed=composed, lost=after.track,
            )  # fmt: skip
            return Quality.untracked() if judged else None, track
        track, quality, motion = before.track, None, None
        if flow is not None:
            if judged:
                quality, motion = assess(
                    _frame(before, flow),
                    _frame(after, flow),
                    flow,
                    before=track.motion,
                    frames=after.index - before.index,
                    backward=self._back(before, after) if self._backward else None,
                )
            track = composed_on(track, flow, motion, beat)
        return quality, at_beat(track, flow, beat, after.index, after.clock)

    def _result(
        self,
        before: StreamState | None,
        after: StreamState,
        arrays: Mapping[str, np.ndarray],
        readings: Mapping[str, Any],
        *,
        repeat: bool,
        why: str,
    ) -> Result:
        absent = dict(self._absent)
        if not arrays:
            absent |= {one.name: why for one in self.spec.outputs}
        for name in ("flow", "displacement", "quality_parts", "beat_info", "points", "confidence",
                     "lengths", "areas"):  # fmt: skip
            if name not in absent and readings.get(name) is None:
                absent[name] = why
        if "strain" not in absent and readings.get("strain") is None:
            absent["strain"] = why if self._strain else "it was not asked for"
        latency = self.spec.feed.latency if arrays else 0
        outputs = raw_outputs(self.spec, arrays) if arrays else {}
        result = Result(
            **readings,
            outputs=outputs | motion_outputs(self._served, readings),
            current=after.index,
            previous=after.index if before is None else before.index,
            reference=after.index if after.track is None else after.track.reference,
            described=after.index - latency,
            repeat=repeat,
            unit="px" if after.spacing_mm is None else "mm",
            absent=absent,
            engine=self._engine_words,
        )
        return result if self._card is None else read_on_request(result)

    # -- checks ------------------------------------------------------------------------------------

    def _accepted(
        self, frame: np.ndarray, index: int | None, beat: bool | None, time_ms: float | None
    ) -> tuple[np.ndarray, int, dict[str, int]]:
        """A frame that may follow the last one: image, number, and the sizes of its axes."""
        image = self._feed.checked(frame, None if self._state is None else self._state.feed)
        number = numbered(index, self._state)
        require_time(time_ms, self._state)
        if beat is not None and not isinstance(beat, (bool, np.bool_)):
            raise FrameError("a beat of True, False or None", repr(beat))
        return image, number, self._feed.image_sizes(image.shape)

    def _given(
        self, given: Mapping[str, np.ndarray], sizes: dict[str, int]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The inputs that are given once, and those of this frame."""
        once = tuple(t for t in self.spec.given_inputs if t.name in self.spec.feed.at_start)
        each = tuple(t for t in self.spec.given_inputs if t not in once)
        if self._state is None:
            arrays = given_arrays((*once, *each), given, sizes, "with the first frame")
        else:
            for tensor in once:  # their sizes hold for what comes with this frame, and for states
                tensor.check(self._state.given[tensor.name], sizes)
            arrays = given_arrays(each, given, sizes, "with each frame after the first")
            arrays |= self._state.given
        return (
            {one.name: arrays[one.name] for one in once},
            {one.name: arrays[one.name] for one in each},
        )

    def _back(self, before: StreamState, after: StreamState) -> np.ndarray:
        """Flow from current to previous, [2, H, W] px, or [2, H / 2, W / 2] px of half the size."""
        first, second = after.feed.last, before.feed.last
        half = [extent // 2 for extent in first.shape]
        layout = next(iter(self._feed.layouts.values()))
        if all(
            extent % 2 == 0 and (dim == size if isinstance(dim, int) else dim.accepts(size))
            for dim, size, extent in zip(layout.size, half, first.shape, strict=True)
        ):
            first, second = halved(first), halved(second)
        inputs, _, _ = self._feed.inputs(replace(before.feed, last=first), second, renew=False)
        assert inputs is not None  # a pair that has a previous frame always runs
        arrays = checked_outputs(self.spec, self._engine.run(inputs))
        flow = motion_of(self.spec, Role.FLOW, arrays, first.shape)
        assert flow is not None
        return flow


def _frame(state: StreamState, flow: np.ndarray) -> np.ndarray:
    """The last frame of a state, where `flow` is."""
    there: Any = state.feed.there
    return there if stays(flow) and stays(there) else state.feed.last


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two frames are the same. One row tells most of them apart."""
    middle = len(one) // 2
    return bool((one[middle] == other[middle]).all() and (one == other).all())
