"""Finds end-diastole in the motion of a live stream, without R-wave triggers.

A stream cannot tell that a frame was end-diastole until the next systole has begun. The finder
therefore names a *candidate*, the fullest frame since end-systole. It confirms the candidate once
the motion has swung back by a quarter of the excursion, and reports how many frames that took.

The motion of a frame is reduced to ten weighted moments of its flow. Translation is left out,
because the probe and breathing move the picture further than the heart does. The direction in which
the moments vary most from frame to frame is learnt from the first beats. The running sum of the
moments along that direction is a curve that swings once per beat. Three turning points bound two
legs: the shorter leg is systole, and it starts at end-diastole.

Limits:
- Learning takes about two beats. Until then the reference is the stream's first frame.
- From about 150 beats per minute systole is as long as diastole, and end-systole may be mistaken
  for end-diastole.
- A heart that only translates has no beat that can be found.
- The finder remembers at most 512 frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import lru_cache

import numpy as np

from cineflow.motion.beats import smooth, turning_points
from cineflow.motion.blocks import BlockMotion

_MOST_FRAMES = 512
_FEWEST_FRAMES = 12
#: Number of moments of one frame's motion.
MOMENTS = 10
#: Frames between two attempts to learn the curve.
_LOOK_EVERY = 4
#: Least excursion of a heart beat, root mean square over the tissue, px.
_LEAST_EXCURSION_PX = 0.5
#: Periods without a beat after which the curve is forgotten.
_PATIENCE = 3.0
_SWING_SHARE = 0.25


class Event(Enum):
    """What a frame shows.

    CANDIDATE: it is the fullest frame since end-systole. CONFIRMED: the last candidate was
    end-diastole.
    """

    NOTHING = auto()
    CANDIDATE = auto()
    CONFIRMED = auto()


@dataclass(frozen=True, eq=False)
class Curve:
    """The learnt direction, and the stream's position on the curve along it.

    Attributes:
        mode: Direction, f64 [10]. The sum of the moments along it is largest at end-diastole.
        swing: Distance back from an extreme that confirms a turning point, px.
        period: Frames of one beat at the time of learning.
        seeking: 1 on the way to end-diastole, -1 on the way to end-systole.
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
    """State of the finder. `observe` returns the next state and does not change this one.

    Attributes:
        path: Running sums of the moments, f64 [K, 10] px, K <= 512.
        curve: The learnt curve; None while learning.
    """

    path: np.ndarray = field(default_factory=lambda: np.zeros((1, MOMENTS)))
    curve: Curve | None = None

    def observe(self, motion: BlockMotion) -> tuple[BeatFinder, Event]:
        """The state after one more frame, and what that frame shows.

        Args:
            motion: Motion from the last frame to this one.
        """
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
    """One step along a learnt curve. Turning points alternate and are at least a swing apart."""
    ahead = curve.seeking * (value - curve.extreme)
    if ahead > 0:
        event = Event.CANDIDATE if curve.seeking > 0 else Event.NOTHING
        return replace(curve, extreme=value, waited=curve.waited + 1), event
    if -ahead < curve.swing:
        return replace(curve, waited=curve.waited + 1), Event.NOTHING
    turned = replace(curve, seeking=-curve.seeking, extreme=value, waited=0)
    return turned, Event.CONFIRMED if curve.seeking > 0 else Event.CANDIDATE


def _learn(path: np.ndarray) -> Curve | None:
    """The curve of the beat from the path so far; None until it has enough turning points."""
    # The heart dominates the motion from frame to frame; over seconds, drift would.
    steps = np.diff(path, axis=0)
    steps -= steps.mean(axis=0)
    _, modes = np.linalg.eigh(steps.T @ steps)
    values = path @ modes[:, -1]
    excursion = float(np.ptp(values))
    if excursion < _LEAST_EXCURSION_PX:
        return None
    swing = _SWING_SHARE * excursion
    # The first frames are not a turning point: the heart may have been moving before them.
    turns = [turn for turn in turning_points(smooth(values), swing) if turn[0] > 2]
    if len(turns) < 3:
        return None
    (first, kind), (second, _), (third, _) = turns[-3:]
    systole_first = second - first < third - second
    # +1 if the first of the three is both end-diastole and a maximum, or neither of them
    sign = kind if systole_first else -kind
    mode = sign * modes[:, -1]
    seeking = -int(sign * kind)  # the third turning point is of the first one's kind
    return Curve(mode, swing, third - first, seeking, float(path[-1] @ mode))


def _moments(motion: BlockMotion) -> np.ndarray:
    """Weighted moments of the flow, first and second degree, [10] px: x's five, then y's."""
    weight = motion.weight
    weighted = _polynomials(*weight.shape) * weight
    moments: np.ndarray = (motion.flow[:, None] * weighted).reshape(10, -1).sum(axis=1)
    return moments


@lru_cache(maxsize=8)
def _polynomials(rows: int, columns: int) -> np.ndarray:
    """Legendre polynomials of unit mean square, so that every moment has the same weight.

    f64 [5, rows, columns].
    """
    y, x = np.linspace(-1.0, 1.0, rows)[:, None], np.linspace(-1.0, 1.0, columns)[None]
    one = np.ones((rows, columns))
    return np.stack(
        [
            np.sqrt(3.0) * x * one,
            np.sqrt(3.0) * y * one,
            3.0 * x * y,
            np.sqrt(1.25) * (3.0 * x * x - 1.0) * one,
            np.sqrt(1.25) * (3.0 * y * y - 1.0) * one,
        ]
    )
