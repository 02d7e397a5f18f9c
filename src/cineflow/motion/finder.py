"""End-diastole found in the motion while it goes on, for streams without R-wave triggers.

A stream cannot know that a frame was end-diastole before the next systole has begun. So the finder
names a *candidate*, the frame of fullest extension since end-systole, and confirms it once the
motion has swung back by a quarter of the excursion: some frames late, by a delay that is said.

The motion of a frame is reduced to ten weighted moments of its flow; the picture's own translation
is left out, because probe and breath slide it further than the heart. The direction in which the
moments vary most from frame to frame is learnt from the stream's first beats; their running sum
along it is a curve that swings once per beat. Where three of its turning points are known, the
shorter of the two legs is systole, and the turning point that it starts from is end-diastole.

Limits: about two beats to learn, in which the reference stays the stream's first frame; at rates
where systole is as long as diastole (about 150 per minute and up) end-systole may be taken for
end-diastole; a heart that only translates has no beat here, and then none is found. It looks back
on 512 frames at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

import numpy as np

from cineflow.motion.beats import smooth, turning_points
from cineflow.motion.blocks import BlockMotion

_MOST_FRAMES = 512
_FEWEST_FRAMES = 12
#: How many the motion of a frame is reduced to.
MOMENTS = 10
#: Every so many frames an unlearnt finder looks at what it has.
_LOOK_EVERY = 4
#: Less excursion than this, root mean square over the tissue, is no heart beat, px.
_LEAST_EXCURSION_PX = 0.5
#: A curve is forgotten after so many of its periods without a beat.
_PATIENCE = 3.0
_SWING_SHARE = 0.25


class Event(Enum):
    """What a frame is: nothing special; the fullest since end-systole; the sign that the last
    fullest one was end-diastole."""

    NOTHING = auto()
    CANDIDATE = auto()
    CONFIRMED = auto()


@dataclass(frozen=True, eq=False)
class Curve:
    """What was learnt: the direction to look along, and where on the curve the stream is.

    Attributes:
        mode: f64 [10]; the sum of the moments along it is largest at end-diastole.
        swing: The way back, px, that confirms a turning point.
        period: Frames of one beat when it was learnt.
        seeking: 1 on the way to end-diastole, -1 to end-systole.
        extreme: The curve's highest (lowest) value on this way, px.
        waited: Frames since the last turning point.
    """

    mode: np.ndarray
    swing: float
    period: int
    seeking: int
    extreme: float
    waited: int = 0


@dataclass(frozen=True, eq=False)
class BeatFinder:
    """The finder's memory; `observe` gives the next one and leaves this one as it is.

    Attributes:
        path: Running sums of the moments, f64 [K, 10] px, K <= 512.
        curve: What was learnt; None until then.
    """

    path: np.ndarray = field(default_factory=lambda: np.zeros((1, MOMENTS)))
    curve: Curve | None = None

    def observe(self, motion: BlockMotion) -> tuple[BeatFinder, Event]:
        """Take in the motion from the last frame to this one."""
        here = self.path[-1] + _moments(motion)
        path = np.concatenate([self.path, here[None]])[-_MOST_FRAMES:]
        if self.curve is None:
            look = len(path) >= _FEWEST_FRAMES and len(path) % _LOOK_EVERY == 0
            if not look and len(path) < _MOST_FRAMES:
                return BeatFinder(path), Event.NOTHING
            curve = _learn(path)
            found = curve is not None and curve.seeking > 0
            return BeatFinder(path, curve), Event.CANDIDATE if found else Event.NOTHING
        curve, event = _follow(self.curve, float(here @ self.curve.mode))
        if curve.waited > _PATIENCE * curve.period:
            return BeatFinder(here[None]), Event.NOTHING
        return BeatFinder(path, curve), event


def _follow(curve: Curve, value: float) -> tuple[Curve, Event]:
    """One step along a learnt curve; turning points alternate, each a swing from the last."""
    ahead = curve.seeking * (value - curve.extreme)
    if ahead > 0:
        event = Event.CANDIDATE if curve.seeking > 0 else Event.NOTHING
        return replace(curve, extreme=value, waited=curve.waited + 1), event
    if -ahead < curve.swing:
        return replace(curve, waited=curve.waited + 1), Event.NOTHING
    turned = replace(curve, seeking=-curve.seeking, extreme=value, waited=0)
    return turned, Event.CONFIRMED if curve.seeking > 0 else Event.CANDIDATE


def _learn(path: np.ndarray) -> Curve | None:
    """The beat's curve from the path so far; None while it has not swung often enough."""
    # from frame to frame the heart moves most; over seconds, whatever drifts would
    steps = np.diff(path, axis=0)
    steps -= steps.mean(axis=0)
    _, modes = np.linalg.eigh(steps.T @ steps)
    values = path @ modes[:, -1]
    excursion = float(np.ptp(values))
    if excursion < _LEAST_EXCURSION_PX:
        return None
    swing = _SWING_SHARE * excursion
    # the ends of a record are no turning points: the heart may have been on its way there
    turns = [turn for turn in turning_points(smooth(values), swing) if turn[0] > 2]
    if len(turns) < 3:
        return None
    (first, kind), (second, _), (third, _) = turns[-3:]
    systole_first = second - first < third - second
    # +1 where the first of the three is end-diastole and a maximum, or neither
    sign = kind if systole_first else -kind
    mode = sign * modes[:, -1]
    seeking = -int(sign * kind)  # the third turning point is of the first one's kind
    return Curve(mode, swing, third - first, seeking, float(path[-1] @ mode))


def _moments(motion: BlockMotion) -> np.ndarray:
    """Weighted moments of the flow, first and second degree, [10] px: x's five, then y's."""
    rows, columns = motion.weight.shape
    y, x = np.linspace(-1.0, 1.0, rows)[:, None], np.linspace(-1.0, 1.0, columns)[None]
    one, weight = np.ones_like(motion.weight), motion.weight
    # Legendre polynomials of unit mean square: each moment counts alike
    basis = (
        np.sqrt(3.0) * x * one,
        np.sqrt(3.0) * y * one,
        3.0 * x * y,
        np.sqrt(1.25) * (3.0 * x * x - 1.0) * one,
        np.sqrt(1.25) * (3.0 * y * y - 1.0) * one,
    )
    weighted = [function * weight for function in basis]
    return np.array([float((w * part).sum()) for part in motion.flow for w in weighted])
