"""Where beats begin, from R-wave triggers or from a curve of the cavity, and drift over a beat.

Displacement refers to a reference frame. The reference is renewed at every beat because composed
motion drifts; docs/motion/real_clips.md shows by how much on real clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_field, require_finite, require_mask

#: Plausible heart rates, beats per minute.
SLOWEST_BPM, FASTEST_BPM = 30.0, 220.0
#: An interval further than this from the median is not regular (Kleiger's 20 % rule).
ECTOPIC_SHARE = 0.20
# At end-diastole the curve is at most this share of its range below the neighbouring maximum. The
# atrial kick is larger than this share, so a heart in diastasis does not count as full.
_FULL_WITHIN = 0.10
_SMOOTHING = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0


@dataclass(frozen=True)
class HeartBeat:
    """One beat, in frames.

    Attributes:
        ed: End-diastolic frame, the reference of its displacements.
        es: End-systolic frame; None if only triggers are known.
        end: End-diastolic frame of the next beat.
        regular: False for an ectopic interval. Exclude such a beat from averages.
        note: What is wrong with the beat; empty if regular.
    """

    ed: int
    es: int | None
    end: int
    regular: bool = True
    note: str = ""


def from_triggers(triggers_ms: np.ndarray, times_ms: np.ndarray) -> tuple[HeartBeat, ...]:
    """Beats from R-wave times; end-diastole is the frame nearest to each R wave.

    Args:
        triggers_ms: R waves, ms on the clock of `times_ms`. Those outside the cine are ignored.
        times_ms: Time of each frame, f64 [T], strictly increasing.

    Returns:
        One beat per pair of successive triggers inside the cine. `regular` is False in three cases:
        an interval more than 20 % off the median, which is an ectopic beat (short) or a missed
        trigger (long); exactly two intervals that differ by more than 20 %; and a beat with an R
        wave further from the nearest frame than the median frame period.

    Raises:
        ArgumentError: Times or triggers out of order or not finite, fewer than two triggers inside
            the cine, or a median interval outside 30 to 220 beats/min.
    """
    times = increasing("times_ms", times_ms)
    triggers = increasing("triggers_ms", triggers_ms)
    inside = triggers[(triggers >= times[0] - 0.5) & (triggers <= times[-1] + 0.5)]
    if len(inside) < 2:
        raise ArgumentError(
            "two or more R waves inside the cine",
            f"{len(inside)}",
            "Find the beats in the motion instead (from_curve)",
        )
    intervals = np.diff(inside)
    usual = float(np.median(intervals))
    if not 60_000 / FASTEST_BPM <= usual <= 60_000 / SLOWEST_BPM:
        raise ArgumentError(
            f"a median R-R interval of {SLOWEST_BPM:.0f} to {FASTEST_BPM:.0f} beats/min",
            f"{usual:.0f} ms",
            "Are the triggers in ms, on the frames' clock?",
        )
    frames = [int(np.argmin(np.abs(times - trigger))) for trigger in inside]
    away = np.abs(times[frames] - inside)
    unseen = away > np.median(np.diff(times))
    notes = _off_the_others(intervals, "missed trigger?")
    beats = []
    for k, (ed, end) in enumerate(pairwise(frames)):
        gap = f"no frame within {away[k : k + 2].max():.0f} ms of an R wave"
        note = gap if unseen[k : k + 2].any() else notes[k]
        beats.append(HeartBeat(ed, None, end, not note, note))
    return tuple(beats)


def from_curve(cavity: np.ndarray, times_ms: np.ndarray) -> tuple[HeartBeat, ...]:
    """Beats from a curve that is largest at end-diastole: cavity diameter, area or volume.

    The curve is smoothed by [1, 2, 3, 2, 1] / 9 (EchoNet-LVH). End-diastoles are its maxima and
    end-systoles the minima between them. Neighbouring extrema differ by at least a third of the
    curve's range, so an atrial kick or noise does not start a beat. A maximum at the start or end
    of the cine lacks that swing on one side. It counts if it is within a tenth of the range of the
    neighbouring maximum.

    Args:
        cavity: [T], any unit.
        times_ms: Time of each frame, f64 [T], strictly increasing.

    Returns:
        Whole beats, from end-diastole to end-diastole. `regular` is False outside 30 to 220
        beats/min, and where the interval differs from the others as in `from_triggers`.

    Raises:
        ArgumentError: Times out of order, a value that is not finite, curve and times of different
            lengths, a constant curve, or less than one beat.
    """
    times = increasing("times_ms", times_ms)
    curve = np.asarray(cavity, np.float64)
    if curve.shape != times.shape:
        raise ArgumentError(f"a curve [{len(times)}], one value per time", f"{list(curve.shape)}")
    require_finite("curve", curve)
    smoothed = smooth(curve)
    span = float(np.ptp(smoothed))
    swing = span / 3.0
    if swing <= 1e-9 * max(1.0, float(np.abs(smoothed).max())):
        raise ArgumentError("a curve that moves", "a constant one", "Is the tracked wall moving?")

    def full(frame: int, neighbour: int) -> bool:
        return bool(smoothed[neighbour] - smoothed[frame] <= _FULL_WITHIN * span)

    turns = turning_points(smoothed, swing)
    maxima = [frame for frame, kind in turns if kind > 0]
    if maxima and turns[-1][1] < 0:
        last = turns[-1][0]
        late = last + int(np.argmax(smoothed[last:]))
        if smoothed[late] - smoothed[last] >= swing and full(late, maxima[-1]):
            maxima.append(late)
    if len(maxima) >= 2 and turns[0][1] > 0 and not full(maxima[0], maxima[1]):
        del maxima[0]
    if len(maxima) < 2:
        raise ArgumentError(
            "a cine of one beat or more",
            f"{len(maxima)} end-diastole(s) in {times[-1] - times[0]:.0f} ms",
            "Record longer, or use the first frame as the reference",
        )
    intervals = np.diff(times[maxima])
    notes = _off_the_others(intervals, "missed beat?")
    beats = []
    for (ed, end), interval, note in zip(pairwise(maxima), intervals, notes, strict=True):
        es = next(frame for frame, kind in turns if kind < 0 and ed < frame < end)
        if not 60_000 / FASTEST_BPM <= interval <= 60_000 / SLOWEST_BPM:
            note = f"{interval:.0f} ms is not a plausible beat"
        beats.append(HeartBeat(ed, es, end, not note, note))
    return tuple(beats)


def mean_length(field: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean length of a field's vectors, px: the measure of loop closure and drift.

    It is the mean of the lengths, not the length of the mean vector, so that a ring that ends too
    wide all round has drifted.

    Args:
        field: [2, h, w] or [3, d, h, w] px, finite.
        weight: Weights >= 0 or a mask, [h, w] or [d, h, w].

    Returns:
        The mean in px; 0 if all weights are 0 (a black picture).
    """
    total = float(weight.sum())
    return float((np.linalg.norm(field, axis=0) * weight).sum()) / total if total > 0 else 0.0


def drift(displacement: np.ndarray, mask: np.ndarray, beat: HeartBeat) -> float:
    """Loop closure divided by the beat's frames, px per frame.

    This is the rate that `compensate` removes. The closure is the stream's `drift_px`, averaged
    over the mask.

    Args:
        displacement: Composed over the whole beat, [2, H, W] px.
        mask: Where to measure, bool [H, W].
        beat: The beat that `displacement` spans.

    Raises:
        ArgumentError: The beat is empty, the mask is empty or has the wrong size, or a value is not
            finite.

    Source:
        Defined by this project: `metrics.loop_closure` over the number of frames.
    """
    if beat.end <= beat.ed:
        raise ArgumentError(
            "a beat that ends after it began",
            f"frames {beat.ed} to {beat.end}",
            "Two triggers within one frame are one R wave: skip such a beat",
        )
    u = require_field("displacement", displacement)
    return mean_length(u, require_mask(mask, u.shape[1:])) / (beat.end - beat.ed)


def compensate(displacements: np.ndarray) -> np.ndarray:
    """Displacements over one whole beat with linear drift removed, [T, 2, H, W] px.

    u_k - (k / (T - 1)) u_{T-1}: the last frame returns to the reference exactly. This is an
    assumption and not a measurement, since a patient breathes. Say so wherever the result is shown.

    Args:
        displacements: Since end-diastole, [T, 2, H, W] px. The first is zero and the last is at the
            next end-diastole.

    Raises:
        ArgumentError: Fewer than two frames, another shape, a value that is not finite, or a first
            displacement that is not 0.
    """
    u = np.asarray(displacements)
    if u.ndim != 4 or len(u) < 2 or u.shape[1] != 2:
        raise ArgumentError("displacements [T >= 2, 2, H, W]", f"{list(u.shape)}")
    if u.dtype.kind != "f":
        u = u.astype(np.float64)  # the shares below lie between 0 and 1
    require_finite("displacements", u)
    if u[0].any():
        raise ArgumentError(
            "displacements that start with 0 at the reference frame",
            f"up to {np.abs(u[0]).max():.3g} px in entry 0",
            "Include the reference frame itself as entry 0",
        )
    share = np.linspace(0.0, 1.0, len(u), dtype=u.dtype)[:, None, None, None]
    return np.asarray(u - share * u[-1])


def _off_the_others(intervals: np.ndarray, missed: str) -> list[str]:
    """Note for each interval [N], ms, that differs from the others; empty for the rest."""
    if len(intervals) == 2:
        if intervals.max() <= (1.0 + ECTOPIC_SHARE) * intervals.min():
            return ["", ""]
        both = " and ".join(f"{interval:.0f}" for interval in intervals)
        return [f"R-R {both} ms: one is irregular, but two intervals do not show which"] * 2
    usual = float(np.median(intervals))
    shares = (intervals - usual) / usual
    return [
        f"R-R {interval:.0f} ms is {100 * off:+.0f} % off the median: "
        + (missed if off > 0 else "ectopic?")
        if abs(off) > ECTOPIC_SHARE
        else ""
        for interval, off in zip(intervals, shares, strict=True)
    ]


def increasing(name: str, values: np.ndarray) -> np.ndarray:
    """`values` as f64 [T], T >= 1.

    Raises:
        ArgumentError: The wrong shape, not finite, or not strictly increasing.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ArgumentError(f"{name}: a list of times", f"{list(array.shape)}")
    require_finite(name, array)
    if (np.diff(array) <= 0).any():
        raise ArgumentError(f"{name}: strictly increasing", "frames or triggers out of order")
    return array


def smooth(curve: np.ndarray) -> np.ndarray:
    """A curve [T] smoothed by [1, 2, 3, 2, 1] / 9, as in EchoNet-LVH. Its ends are repeated."""
    smoothed: np.ndarray = np.convolve(np.pad(curve, 2, mode="edge"), _SMOOTHING, mode="valid")
    return smoothed


def turning_points(curve: np.ndarray, swing: float) -> list[tuple[int, int]]:
    """Alternating maxima (+1) and minima (-1) of a curve [T], as (frame, kind).

    Neighbours differ by at least `swing`. The last one is confirmed by a swing after it.
    """
    turns: list[tuple[int, int]] = []
    top = bottom = 0
    seeking = 0  # the first swing decides whether a maximum or a minimum comes first
    for frame, value in enumerate(curve):
        top = frame if value > curve[top] else top
        bottom = frame if value < curve[bottom] else bottom
        if seeking >= 0 and curve[top] - value >= swing:
            turns.append((top, 1))
            seeking, bottom = -1, frame
        elif seeking <= 0 and value - curve[bottom] >= swing:
            turns.append((bottom, -1))
            seeking, top = 1, frame
    return turns
