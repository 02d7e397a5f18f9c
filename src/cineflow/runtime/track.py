"""Motion over many frames: composed since a reference frame that each beat renews.

At once for a trigger, some frames late where end-diastole is found in the motion. Where the flow
is held on a card, the displacements are composed and held there; see `cineflow.ops.held`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cineflow.motion.beats import mean_length
from cineflow.motion.blocks import BlockMotion
from cineflow.motion.compose import compose_checked
from cineflow.motion.finder import BeatFinder, Event
from cineflow.motion.rhythm import Intervals
from cineflow.runtime.state import Candidate, Track
from cineflow.served import BeatInfo, Cause, Rhythm


def first_track(
    shape: tuple[int, ...],
    index: int,
    clock: float,
    trigger: bool | None,
    *,
    timed: bool,
    composed: bool,
    lost: Track | None = None,
) -> Track:
    """The track of a first frame, of a stream or after a gap: it is the reference.

    Args:
        shape: Of the frame.
        index: Its index.
        clock: Its time on the clock of the intervals.
        trigger: As in `Stream.push`.
        timed: Whether the clock counts ms.
        composed: Whether displacement is composed from flows here; else the model gives it.
        lost: The track before the gap; None for a stream's first frame. Beats are counted on from
            it, and one that was given triggers still is.
    """
    still = np.zeros((len(shape), *shape), np.float32) if composed else None
    finds = composed and trigger is None and len(shape) == 2
    finds = finds and (lost is None or lost.finder is not None)
    intervals = Intervals(milliseconds=timed, start=clock if timed else None)
    cause = Cause.START if lost is None else Cause.GAP
    if trigger:
        cause = Cause.TRIGGER
        intervals, _ = intervals.begin(clock)
    beat = BeatInfo(number=0 if lost is None else lost.beat.number + 1, cause=cause)
    return Track(
        still, index, beat=beat, intervals=intervals, finder=BeatFinder() if finds else None
    )


def composed_on(
    track: Track, flow: np.ndarray, motion: BlockMotion | None, trigger: bool | None
) -> Track:
    """`track` after one more flow; a trigger ends the search for beats in the motion for good."""
    assert track.displacement is not None
    return replace(
        track,
        displacement=compose_checked(track.displacement, flow),
        motion=motion,
        finder=track.finder if trigger is None else None,
    )


def at_beat(
    track: Track, flow: np.ndarray | None, trigger: bool | None, index: int, clock: float
) -> Track:
    """The track after a frame, with a new reference where a beat begins at it or is found.

    Args:
        track: After the frame's own motion.
        flow: Of the frame; None for a model that gives the displacement itself.
        trigger: As in `Stream.push`.
        index, clock: Of the frame.
    """
    if trigger is not None or track.finder is None or track.motion is None or flow is None:
        if not trigger:
            return replace(track, candidate=None)
        return _renewed(track, _candidate(track, index, clock), Cause.TRIGGER, index)
    finder, event = track.finder.observe(track.motion)
    candidate = track.candidate
    if candidate is not None:
        candidate = replace(candidate, displacement=compose_checked(candidate.displacement, flow))
    if event is Event.CANDIDATE:
        candidate = _candidate(track, index, clock)
    track = replace(track, finder=finder, candidate=candidate if finder.curve else None)
    if event is Event.CONFIRMED and candidate is not None:
        return _renewed(track, candidate, Cause.MOTION, index)
    return track


def _candidate(track: Track, index: int, clock: float) -> Candidate:
    still = np.zeros(0, np.float32)
    if track.displacement is not None:
        still = np.zeros(track.displacement.shape, np.float32)
    return Candidate(still, index, clock, _closure(track))


def _renewed(track: Track, start: Candidate, cause: Cause, index: int) -> Track:
    """`track` with `start` as its reference frame."""
    whole = track.intervals.last is not None  # before it, the reference was not an end-diastole
    intervals, rhythm = track.intervals.begin(start.clock)
    back = whole and rhythm in (Rhythm.UNKNOWN, Rhythm.REGULAR)
    return replace(
        track,
        displacement=None if track.displacement is None else start.displacement,
        reference=start.index,
        intervals=intervals,
        beat=BeatInfo(
            number=track.beat.number + 1,
            cause=cause,
            delay_frames=index - start.index,
            rhythm=rhythm,
            drift_px=start.closure_px if back else None,
        ),
        candidate=None,
    )


def _closure(track: Track) -> float | None:
    """Mean length of the displacement over the tissue, px; None where no tissue is known."""
    if track.motion is None or track.displacement is None:
        return None
    rows, columns = track.motion.weight.shape
    size = track.displacement.shape[1:]
    height, width = (extent // count for extent, count in zip(size, (rows, columns), strict=True))
    # one sample in the middle of each block: the displacement is far smoother than that
    sampled = track.displacement[:, height // 2 :: height, width // 2 :: width]
    return mean_length(np.asarray(sampled[:, :rows, :columns]), track.motion.weight)
