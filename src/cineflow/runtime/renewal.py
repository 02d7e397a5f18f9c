"""A new reference frame at every beat: at once for a trigger, some frames late for a found beat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cineflow.motion.beats import mean_length
from cineflow.motion.compose import compose
from cineflow.motion.finder import Event
from cineflow.motion.rhythm import Rhythm
from cineflow.runtime.state import BeatInfo, Candidate, Cause, StreamState


def at_beat(state: StreamState, flow: np.ndarray, trigger: bool | None) -> StreamState:
    """The state after a frame, with a new reference where a beat begins at it or is found."""
    if trigger is not None or state.finder is None or state.motion is None:
        if not trigger:
            return replace(state, candidate=None)
        here = Candidate(np.zeros_like(flow), state.index, state.clock, _closure(state))
        return _renewed(state, here, Cause.TRIGGER)
    finder, event = state.finder.observe(state.motion)
    candidate = state.candidate
    if candidate is not None:
        candidate = replace(candidate, displacement=compose(candidate.displacement, flow))
    if event is Event.CANDIDATE:
        candidate = Candidate(np.zeros_like(flow), state.index, state.clock, _closure(state))
    state = replace(state, finder=finder, candidate=candidate if finder.curve else None)
    if event is Event.CONFIRMED and candidate is not None:
        return _renewed(state, candidate, Cause.MOTION)
    return state


def _renewed(state: StreamState, start: Candidate, cause: Cause) -> StreamState:
    """`state` with `start` as its reference frame."""
    whole = state.intervals.last is not None  # else the reference is not an end-diastole
    intervals, rhythm = state.intervals.begin(start.clock)
    back = whole and rhythm in (Rhythm.UNKNOWN, Rhythm.REGULAR)
    return replace(
        state,
        displacement=start.displacement,
        reference=start.index,
        intervals=intervals,
        beat=BeatInfo(
            number=state.beat.number + 1,
            cause=cause,
            delay_frames=state.index - start.index,
            rhythm=rhythm,
            drift_px=start.closure_px if back else None,
        ),
        candidate=None,
    )


def _closure(state: StreamState) -> float:
    """Mean length of the displacement over the tissue, px."""
    assert state.motion is not None  # a beat is only closed by a frame that was tracked
    rows, columns = state.motion.weight.shape
    height, width = (
        extent // count for extent, count in zip(state.frame.shape, (rows, columns), strict=True)
    )
    # One sample in the middle of each block is enough: the displacement is much smoother.
    sampled = state.displacement[:, height // 2 :: height, width // 2 :: width]
    return mean_length(sampled[:, :rows, :columns], state.motion.weight)
