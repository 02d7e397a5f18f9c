"""The rule that turns the parts of a quality into an expected error in px.

    log e = c + sum_k w_k log(part_k + offset_k),   w_k >= 0

A non-negative least-squares fit to the true error of the default tracker on the tuning phantoms,
every condition counted alike and errors above two pixels counted as two: beyond that there is no
degree of lost. `python -m benchmarks.accuracy.quality --fit` repeats it and prints these numbers;
other trackers keep the ranking, not the calibration. Monotone: a worse part never lowers the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Keeps the logarithm of a perfect part finite; small beside every part of a real frame.
OFFSET = 0.003
#: For the deformation, per frame: as large as that of a usual frame, so that a flow without any,
#: which costs a tracker nothing, excuses little of what the picture says.
STIFFNESS = 0.03
#: Correlations below this are counted as this: unlike is unlike.
LEAST_CORRELATION = 0.05


@dataclass(frozen=True)
class Parts:
    """What the rule reads of a pair; see `cineflow.motion.quality.Quality`."""

    photometric_px: float
    correlation: float
    deformation: float
    appearance: float | None = None
    temporal_px: float | None = None
    forward_backward_px: float | None = None

    def logarithms(self, usual: tuple[float, float]) -> tuple[float, ...]:
        """log(part + offset) in the order of `Rule.weights`; what a first pair lacks is the usual.

        The correlation r enters as sqrt(1 / r^2 - 1), to which the spread of a speckle tracker is
        proportional (Walker and Trahey 1995).
        """
        unlike = math.sqrt(1.0 / max(LEAST_CORRELATION, self.correlation) ** 2 - 1.0)
        back = () if self.forward_backward_px is None else (self.forward_backward_px,)
        return (
            math.log(self.photometric_px + OFFSET),
            math.log(unlike + OFFSET),
            math.log(self.deformation + STIFFNESS),
            *(
                stand_in if part is None else math.log(part + OFFSET)
                for part, stand_in in zip((self.appearance, self.temporal_px), usual, strict=True)
            ),
            *(math.log(part + OFFSET) for part in back),
        )


@dataclass(frozen=True)
class Rule:
    """One fit.

    Attributes:
        constant: c.
        weights: Of the photometric residual, the lost correlation, the deformation, the changes of
            the appearance and of the flow over time and, where it was computed, the way there and
            back. Zero says that a part added nothing to the others on the tuning phantoms.
        usual: Tuning means of the logarithms of the two changes over time, for a stream's first
            pair that has none.
    """

    constant: float
    weights: tuple[float, ...]
    usual: tuple[float, float]

    def expected_error_px(self, parts: Parts) -> float:
        """Expected end-point error, px; infinite where no texture supports the flow."""
        if math.isinf(parts.photometric_px):
            return math.inf
        logarithms = parts.logarithms(self.usual)
        products = (w * x for w, x in zip(self.weights, logarithms, strict=True))
        return math.exp(self.constant + sum(products))


WITHOUT_BACKWARD = Rule(-1.107, (0.924, 0.308, 0.632, 0.049, 0.0), (2.661, -0.892))
WITH_BACKWARD = Rule(-1.412, (0.897, 0.247, 0.441, 0.05, 0.0, 0.14), (2.661, -0.892))

#: Expected error that best told the tuning phantoms' failed pairs (true error above 0.5 px) from
#: the others: sensitivity plus specificity were largest there.
SUSPECT_PX = 0.324


def expected_error_px(parts: Parts) -> float:
    """Expected end-point error, px, by the rule for the parts that are there."""
    rule = WITHOUT_BACKWARD if parts.forward_backward_px is None else WITH_BACKWARD
    return rule.expected_error_px(parts)


def index_of(expected_px: float) -> float:
    """1 / (1 + (e / suspect)^2): 1 without error, 1/2 at the suspect error, 0 without support."""
    return 1.0 / (1.0 + (expected_px / SUSPECT_PX) ** 2)
