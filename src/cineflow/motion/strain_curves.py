"""Strain of every part of a wall at every frame of a clip, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.motion.clip_beats import ClipBeats
from cineflow.motion.lines import Part, WallLines, line_lengths, part_strain
from cineflow.motion.strain import Convention
from cineflow.motion.strain_error import INTERVAL, accumulated_px, strain_sigma


@dataclass(frozen=True, eq=False)
class StrainCurves:
    """Strain of a wall over a clip.

    Attributes:
        wall: The wall, in the frame where it was given.
        path: Positions of its points, f64 [T, N, D] px of the clip.
        beats: The beats; strain is 0 at each end-diastole.
        references: Reference frame of each frame, int64 [T].
        strain: Of each part, a fraction, f64 [P, T].
        sigma: Standard uncertainty of each, a fraction, f64 [P, T]; infinite where the tracking was
            lost since end-diastole.
        convention: Of the strain.
        shown: The beat that tables and bull's eyes show: the one with the least uncertainty.
    """

    wall: WallLines
    path: np.ndarray
    beats: ClipBeats
    references: np.ndarray
    strain: np.ndarray
    sigma: np.ndarray
    convention: Convention
    shown: int

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts, in the order of `strain`."""
        return self.wall.parts

    @property
    def is_judged(self) -> bool:
        """Whether the uncertainty is known at any frame but the reference frames."""
        return bool((np.isfinite(self.sigma) & (self.sigma > 0)).any())

    def directions(self) -> tuple[str, ...]:
        """Directions of the parts, in order."""
        return tuple(dict.fromkeys(part.direction for part in self.parts))

    def phase(self, beat: int) -> int:
        """Frame that stands for a beat's strain: end-systole, or the largest mean strain."""
        known = self.beats.beats[beat]
        if known.es is not None:
            return known.es
        within = slice(known.ed, known.end + 1)
        return known.ed + int(np.abs(self.strain[:, within]).mean(axis=0).argmax())

    def phase_name(self, beat: int) -> str:
        """What `phase` is: "end-systole", or "the largest mean strain" where that is not known."""
        known = self.beats.beats[beat].es is not None
        return "end-systole" if known else "the largest mean strain"

    def peak(self, index: int, beat: int) -> tuple[int, float]:
        """Frame and strain of a part's largest magnitude within a beat, with its sign."""
        known = self.beats.beats[beat]
        curve = self.strain[index, known.ed : known.end + 1]
        at = int(np.abs(curve).argmax())
        return known.ed + at, float(curve[at])

    def interval(self, index: int, frame: int) -> float:
        """Half of the interval that is shown, 2 sigma, a fraction."""
        return float(INTERVAL * self.sigma[index, frame])

    def segments(self, direction: str, frame: int) -> np.ndarray:
        """Strain of the AHA segments in one direction at a frame, f64 [17]; NaN elsewhere."""
        values = np.full(17, np.nan)
        for part, curve in zip(self.parts, self.strain, strict=True):
            if part.segment and part.direction == direction:
                values[part.segment - 1] = curve[frame]
        return values


def measure_lines(
    path: np.ndarray,
    wall: WallLines,
    beats: ClipBeats,
    expected_px: np.ndarray,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    scale: float = 1.0,
    convention: Convention = "lagrangian",
) -> StrainCurves:
    """Measures the strain of a tracked wall.

    Args:
        path: Positions of the wall's points, [T, N, D] px of the clip.
        wall: The wall.
        beats: The beats of the clip.
        expected_px: Expected error of the pair that ends at each frame, [T], px of the picture that
            the model saw.
        spacing_mm: ([slice_mm, ]row_mm, column_mm) of the clip; None for equal spacing.
        scale: Pixels of the model's picture for each of the clip.
        convention: See `cineflow.motion.strain`.

    Raises:
        ArgumentError: As `lines.part_strain` and `strain_error.accumulated_px`.
    """
    references = beats.references(len(path))
    accumulated = accumulated_px(expected_px, references)
    first = beats.beats[0].ed
    strains, sigmas = [], []
    for part in wall.parts:
        strain = part_strain(path, part, references, spacing_mm, convention)
        length = scale * float(line_lengths(path[first : first + 1], part).mean())
        strains.append(strain)
        sigmas.append(strain_sigma(strain, accumulated, length, part.direction))
    sigma = np.stack(sigmas)
    found = StrainCurves(
        wall, path, beats, references, np.stack(strains), sigma, convention, shown=0
    )
    worst = [sigma[:, found.phase(k)].mean() for k in range(len(beats.beats))]
    return StrainCurves(
        wall, path, beats, references, found.strain, sigma, convention, int(np.argmin(worst))
    )
