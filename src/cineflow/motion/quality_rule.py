"""Turns the parts of a quality into an expected error in px.

    log e = c + sum_k w_k log(part_k + offset_k),   w_k >= 0

The weights are a non-negative least-squares fit to the true error of the default tracker on the
tuning phantoms. Every condition has the same weight. Errors above two pixels count as two, because
such a track is lost. Since no weight is negative, a worse part never lowers the error.

`python -m benchmarks.accuracy.quality --fit` repeats the fit and prints these numbers. For another
tracker the ranking holds but not the calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Keeps the logarithm of a perfect part finite. It is small compared with the parts of real frames.
OFFSET = 0.003
#: Offset of the deformation, per frame. It is as large as the deformation of a typical frame, so
#: that a rigid flow, which any tracker can return, gains little.
STIFFNESS = 0.03
#: Lower correlations count as this one.
LEAST_CORRELATION = 0.05


@dataclass(frozen=True)
class Parts:
    """The parts that the rule uses; see `cineflow.motion.quality.Quality`."""

    photometric_px: float
    correlation: float
    deformation: float
    appearance: float | None = None
    temporal_px: float | None = None
    forward_backward_px: float | None = None

    def logarithms(self, usual: tuple[float, float]) -> tuple[float, ...]:
        """log(part + offset) in the order of `Rule.weights`.

        The correlation r enters as sqrt(1 / r^2 - 1). The error of a speckle tracker is
        proportional to it (Walker and Trahey 1995).

        Args:
            usual: Logarithms that replace `appearance` and `temporal_px` if they are None.
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
        weights: w_k of photometric_px, correlation, deformation, appearance, temporal_px and, if it
            was computed, forward_backward_px. A weight of zero means that the part added nothing to
            the others on the tuning phantoms.
        usual: Mean logarithms of appearance and temporal_px on the tuning phantoms. They stand in
            for a stream's first pair.
    """

    constant: float
    weights: tuple[float, ...]
    usual: tuple[float, float]

    def expected_error_px(self, parts: Parts) -> float:
        """Expected end-point error, px; infinite without texture."""
        if math.isinf(parts.photometric_px):
            return math.inf
        logarithms = parts.logarithms(self.usual)
        products = (w * x for w, x in zip(self.weights, logarithms, strict=True))
        return math.exp(self.constant + sum(products))


WITHOUT_BACKWARD = Rule(-1.107, (0.924, 0.308, 0.632, 0.049, 0.0), (2.661, -0.892))
WITH_BACKWARD = Rule(-1.412, (0.897, 0.247, 0.441, 0.05, 0.0, 0.14), (2.661, -0.892))

#: Expected error that best separates failed pairs (true error above 0.5 px) from the others on the
#: tuning phantoms: it maximises sensitivity plus specificity.
SUSPECT_PX = 0.324


def expected_error_px(parts: Parts) -> float:
    """Expected end-point error, px, by the rule for the available parts."""
    rule = WITHOUT_BACKWARD if parts.forward_backward_px is None else WITH_BACKWARD
    return rule.expected_error_px(parts)


def index_of(expected_px: float) -> float:
    """1 / (1 + (e / suspect)^2): 1 at zero error, 1/2 at `SUSPECT_PX`, 0 at infinity."""
    return 1.0 / (1.0 + (expected_px / SUSPECT_PX) ** 2)
