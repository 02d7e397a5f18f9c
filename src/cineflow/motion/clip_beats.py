"""Beats of a whole clip: end-diastole and end-systole of each, from the best source there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.beats import HeartBeat, from_curve, from_triggers, smooth

#: A curve that changes by less than this share of itself has no beat.
_LEAST_CHANGE = 0.01

#: Sources that name the phases themselves; the others find them in a curve or in the motion.
BY_USER, BY_R_WAVES = "given by the user", "R waves in the file"


@dataclass(frozen=True)
class ClipBeats:
    """The beats of a clip, in order.

    Attributes:
        beats: Each with its end-diastole; `es` is None where it is not known, and `end` is the last
            frame for a beat that the clip cuts off.
        source: Where they come from, in words.
        whole: Whether at least one beat ends inside the clip.
        found: Whether its end-diastole is one; otherwise it is just the first frame.
    """

    beats: tuple[HeartBeat, ...]
    source: str
    whole: bool
    found: bool = True

    def references(self, count: int) -> np.ndarray:
        """Reference frame of each of `count` frames, int64 [T].

        It is the last end-diastole up to the frame. Frames before the first one refer to that.
        """
        starts = np.array([beat.ed for beat in self.beats])
        which = np.searchsorted(starts, np.arange(count), side="right") - 1
        return np.asarray(starts[np.maximum(which, 0)], np.int64)

    def phases(self) -> list[tuple[int, str]]:
        """(frame, "ED", "ES", or "ref" for a mere reference) of what is known, in order."""
        found = [(beat.ed, "ED" if self.found else "ref") for beat in self.beats]
        found += [(beat.es, "ES") for beat in self.beats if beat.es is not None]
        if self.whole:
            found.append((self.beats[-1].end, "ED"))
        return sorted(set(found))


def beats_of_clip(
    times_ms: np.ndarray,
    cavity: np.ndarray | None,
    *,
    ed: Sequence[int] = (),
    es: Sequence[int] = (),
    triggers_ms: np.ndarray | None = None,
    found: Sequence[int] = (),
) -> ClipBeats:
    """The beats of a clip, from the first of: the user, R waves, the curve, the stream.

    Without any of them the first frame is the reference.

    Args:
        times_ms: Time of each frame, [T].
        cavity: A curve [T] that is largest at end-diastole and smallest at end-systole, or None.
        ed: End-diastoles given by the user.
        es: End-systoles given by the user.
        triggers_ms: R waves on the clock of `times_ms`.
        found: Reference frames that the stream found in the motion.

    Raises:
        ArgumentError: A frame outside the clip, or phases of the user's that are not in order.
    """
    times = np.asarray(times_ms, np.float64)
    count = len(times)
    require_phases(ed, es, count)
    if ed:
        return _between(list(ed), list(es), cavity, count, BY_USER)
    if triggers_ms is not None:
        try:
            known = from_triggers(triggers_ms, times)
            starts = [*(beat.ed for beat in known), known[-1].end]
            return _between(starts, list(es), cavity, count, BY_R_WAVES)
        except ArgumentError:
            pass  # fewer than two R waves, or not on the frames' clock
    if cavity is not None and np.isfinite(cavity).all():
        try:
            beats = from_curve(cavity, times)
            words = "the length of the contour over time"
            return _with_systoles(ClipBeats(beats, words, True), es)
        except ArgumentError:
            partial = _part_of_a_beat(cavity, count)
            if partial is not None:
                return _with_systoles(partial, es)
    if found:
        return _between(list(found), list(es), cavity, count, "found in the motion by the stream")
    words = "none: no beat was found, so the first frame is the reference"
    return ClipBeats((HeartBeat(0, es[0] if es else None, count - 1),), words, False, found=False)


def require_phases(ed: Sequence[int], es: Sequence[int], count: int) -> None:
    """Raise `ArgumentError` unless the user's phases are rising frames of a clip of `count`."""
    for name, frames in (("ed", ed), ("es", es)):
        if any(not 0 <= frame < count for frame in frames) or sorted(set(frames)) != list(frames):
            raise ArgumentError(f"{name}: rising frames of 0 to {count - 1}", f"{list(frames)}")


def _with_systoles(found: ClipBeats, es: Sequence[int]) -> ClipBeats:
    """Beats with the user's end-systoles in place of their own, where one lies in a beat."""
    if not es:
        return found
    beats = []
    for beat in found.beats:
        within = [frame for frame in es if beat.ed < frame <= beat.end]
        beats.append(replace(beat, es=within[0]) if within else beat)
    words = f"{found.source}; end-systole {BY_USER}"
    return replace(found, beats=tuple(beats), source=words)


def _part_of_a_beat(cavity: np.ndarray, count: int) -> ClipBeats | None:
    """The longest frame before the shortest one, for a clip of less than a beat."""
    curve = smooth(np.asarray(cavity, np.float64))
    if np.ptp(curve) <= _LEAST_CHANGE * np.abs(curve).max():
        return None
    es = int(curve[1:].argmin()) + 1
    ed = int(curve[:es].argmax())
    words = "the longest and the shortest contour, of a clip that does not hold a whole beat"
    return ClipBeats((HeartBeat(ed, es, count - 1),), words, False)


def _between(
    ed: list[int], es: list[int], cavity: np.ndarray | None, count: int, source: str
) -> ClipBeats:
    """Beats between given end-diastoles. The last one is cut off if no other follows it."""
    ends = [*ed[1:], count - 1]
    beats = []
    for start, end in zip(ed, ends, strict=True):
        within = [frame for frame in es if start < frame <= end]
        middle = within[0] if within else None
        if middle is None and cavity is not None and end > start + 1:
            middle = start + 1 + int(np.argmin(smooth(cavity)[start + 1 : end]))
        beats.append(HeartBeat(start, middle, end))
    whole = len(beats) > 1
    return ClipBeats(tuple(beats[:-1] if whole else beats), source, whole)
