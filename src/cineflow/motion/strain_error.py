"""How uncertain a strain or a length is, from the quality of the frames it was tracked through.

    E(t)     = sqrt(sum of e_k^2) over the frame pairs from end-diastole to t
    sigma(t) = sqrt((a sqrt(2) E(t) / L)^2 + (b s(t))^2 + c^2)

e_k is the pair's expected error and L the length of the part's lines at end-diastole, both in px of
the picture that the model saw; s is the strain. The first term is the error of two points that
drift apart at random. The second is the share by which a tracker with a smooth field misses strain,
which is largest across the wall. The third is what remains in a perfect clip.

a, b and c are fixed per direction on tuning phantoms, so that 95 % of the errors lie within
2 sigma, also on a kind of phantom that was left out of the fit
(`python -m benchmarks.accuracy.strain_error --fit`). On phantoms that were not used for
that, 2 sigma held 98 % (circumferential, longitudinal), 92 % (radial) and 91 % (lengths);
docs/analyse.md has the table. Phantoms are easier than patients, and what the quality
does not see (static clutter, motion across the plane), sigma does not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError


@dataclass(frozen=True)
class ErrorRule:
    """One fit.

    Attributes:
        drift: a, without unit.
        share: b, a share of the strain.
        least: c, a fraction.
    """

    drift: float
    share: float
    least: float


#: By direction. Those of the picture (`across`, `down`, `through`) have the largest of each.
#: `length` is the distance of two single points, of which a strain has many.
RULES = {
    "circumferential": ErrorRule(1.049, 0.049, 0.002),
    "longitudinal": ErrorRule(0.497, 0.028, 0.007),
    "radial": ErrorRule(0.266, 0.17, 0.016),
    "across": ErrorRule(1.049, 0.17, 0.016),
    "down": ErrorRule(1.049, 0.17, 0.016),
    "through": ErrorRule(1.049, 0.17, 0.016),
    "length": ErrorRule(0.219, 0.131, 0.011),
}

#: Half of the interval that is shown, in sigma.
INTERVAL = 2.0


def accumulated_px(expected_px: np.ndarray, references: np.ndarray) -> np.ndarray:
    """E of each frame, f64 [T] px; infinite where a pair between was not tracked.

    Args:
        expected_px: Expected error of the pair that ends at each frame, [T] px; the first is of no
            pair and counts as 0. NaN (not measured) counts as infinite.
        references: Reference frame of each frame, int64 [T].

    Raises:
        ArgumentError: Not one reference for each frame, or one outside the clip.
    """
    errors = np.asarray(expected_px, np.float64)
    frames = np.asarray(references)
    if errors.ndim != 1 or frames.shape != errors.shape:
        raise ArgumentError("one reference for each frame", f"{frames.shape} and {errors.shape}")
    if not ((frames >= 0) & (frames < len(errors))).all():
        raise ArgumentError(f"references of 0 to {len(errors) - 1}", f"{frames}")
    squares = np.where(np.isnan(errors), np.inf, errors) ** 2
    squares[0] = 0.0
    lost = np.cumsum(np.isinf(squares))
    sums = np.cumsum(np.where(np.isinf(squares), 0.0, squares))
    here = np.arange(len(errors))
    last, first = np.maximum(here, frames), np.minimum(here, frames)
    total = np.sqrt(np.maximum(sums[last] - sums[first], 0.0))
    return np.where(lost[last] > lost[first], np.inf, total)


def strain_sigma(
    strain: np.ndarray,
    accumulated: np.ndarray,
    length_px: float,
    direction: str,
) -> np.ndarray:
    """Standard uncertainty of a part's strain at each frame, a fraction, f64 [T].

    Args:
        strain: Of the part, a fraction, [T].
        accumulated: E of each frame, from `accumulated_px`, [T] px.
        length_px: Mean length of the part's lines at end-diastole, in the same px.
        direction: One of `RULES`.

    Returns:
        0 at the reference frames, where the strain is 0 by definition.

    Raises:
        ArgumentError: An unknown direction, or a length that is not positive.
    """
    if direction not in RULES:
        raise ArgumentError(f"a direction of {', '.join(RULES)}", repr(direction))
    if not length_px > 0:
        raise ArgumentError("lines with a length", f"{length_px} px")
    rule = RULES[direction]
    random = rule.drift * np.sqrt(2.0) * np.asarray(accumulated, np.float64) / length_px
    sigma = np.sqrt(random**2 + (rule.share * np.asarray(strain)) ** 2 + rule.least**2)
    return np.where(np.asarray(accumulated) > 0, sigma, 0.0)


def length_sigma(
    lengths: np.ndarray, accumulated: np.ndarray, reference: int, lengths_px: np.ndarray
) -> np.ndarray:
    """Standard uncertainty of lengths between points that were drawn in one frame and followed.

    That the points were drawn in the right places is taken for granted, so it is 0 in their frame.

    Args:
        lengths: At each frame, [T, K], in any unit.
        accumulated: E of each frame since `reference`, from `accumulated_px`, [T] px.
        reference: The frame in which the points were drawn.
        lengths_px: Lengths in that frame, [K] px of the picture that the model saw.

    Returns:
        f64 [T, K], in the unit of `lengths`.

    Raises:
        ArgumentError: A length that is not positive in the frame of the points.
    """
    start = np.asarray(lengths, np.float64)[reference]
    change = lengths / start - 1.0
    sigmas = [
        length * strain_sigma(one, accumulated, float(px), "length")
        for length, one, px in zip(start, change.T, lengths_px, strict=True)
    ]
    return np.stack(sigmas, axis=1)
