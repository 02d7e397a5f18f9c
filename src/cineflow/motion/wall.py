"""Measures a beat from its displacements: strain by segment over time, peaks, scores and GLS.

The caller supplies the wall: a mask of a short-axis frame or of a volume (`SegmentedWall`), or a
contour of an apical view (`ApicalContour`). `measure_wall` does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.aha import (
    Level,
    ScoreRule,
    Sense,
    segment_map,
    segment_means,
    segment_volume,
    wall_motion_score,
    wall_motion_score_index,
)
from cineflow.motion.fields import require_spacing
from cineflow.motion.points import follow
from cineflow.motion.strain import (
    Convention,
    GlobalStrain,
    Line,
    global_longitudinal_strain,
    line_strain,
    long_axis_directions,
    wall_directions,
    wall_strain,
)

#: Displacements over time: a list of fields, or one array [T, ...].
Path = Sequence[np.ndarray] | np.ndarray

#: AHA segments along the contour of an apical view: from the left base through the apex to the
#: right base.
FOUR_CHAMBER, TWO_CHAMBER = (3, 9, 14, 16, 12, 6), (4, 10, 15, 13, 7, 1)
_CAP = 17
#: Chords in each of an apical contour's six parts.
_CHORDS = 20
#: Tolerance of a unit vector's length; f32 vectors are not exactly normalised.
_UNIT_WITHIN = 1e-4


@dataclass(frozen=True, eq=False)
class SegmentedWall:
    """The wall at the reference frame, pixel by pixel.

    Attributes:
        segments: AHA segment of each pixel, 1 to 17, integers [H, W] or [D, H, W]; 0 elsewhere.
        directions: By name, unit vectors in mm space, [*S, 2 or 3]; NaN where undefined. The names
            are "circumferential", "longitudinal" or both, and optionally "radial".
        spacing_mm: mm per pixel along the array's axes; None for equal spacing.

    Raises:
        ArgumentError: Neither a circumferential nor a longitudinal direction, a direction on
            a different grid, or vectors that are not of length 1.
    """

    segments: np.ndarray
    directions: Mapping[str, np.ndarray]
    spacing_mm: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not {"circumferential", "longitudinal"} & set(self.directions):
            raise ArgumentError(
                "a circumferential or a longitudinal direction to score",
                f"{sorted(self.directions)}",
            )
        grid = np.shape(self.segments)
        for name, vectors in self.directions.items():
            if np.shape(vectors) != (*grid, len(grid)):
                wanted = ", ".join(map(str, (*grid, len(grid))))
                raise ArgumentError(f"{name} directions [{wanted}]", f"{list(np.shape(vectors))}")
            length = np.linalg.norm(vectors, axis=-1)
            off = np.abs(length - 1.0) > _UNIT_WITHIN  # False for NaN, an undefined direction
            if off.any():
                raise ArgumentError(
                    f"{name} directions of length 1, or NaN where undefined",
                    f"{np.count_nonzero(off)} of other lengths, up to {np.nanmax(length):.3g}",
                    "Divide each vector by its length in mm",
                )

    @classmethod
    def short_axis(
        cls,
        wall: np.ndarray,
        centre: tuple[float, float],
        anterior: tuple[float, float],
        level: Level,
        *,
        spacing_mm: tuple[float, float] | None = None,
        septum: Sense = "counterclockwise",
    ) -> SegmentedWall:
        """The wall of a short-axis frame.

        Args:
            wall, centre, anterior, level, septum: See `segment_map`.
            spacing_mm: (row_mm, column_mm); None for equal spacing.

        Raises:
            ArgumentError: As `segment_map`, or an invalid spacing.
        """
        labels = segment_map(wall, centre, anterior, level, septum=septum)
        radial, around = wall_directions(labels.shape, centre, spacing_mm)
        return cls(labels, {"radial": radial, "circumferential": around}, spacing_mm)

    @classmethod
    def volume(
        cls,
        wall: np.ndarray,
        apex: np.ndarray,
        base: np.ndarray,
        anterior: np.ndarray,
        *,
        spacing_mm: tuple[float, ...] | None = None,
        septum: Sense = "counterclockwise",
        normals: np.ndarray | None = None,
    ) -> SegmentedWall:
        """The wall of a volume.

        Fibres do not run around the cap, so its circumferential strain is NaN and its score 0.

        Args:
            wall, apex, base, anterior, spacing_mm, septum: See `segment_volume`.
            normals: See `long_axis_directions`.

        Raises:
            ArgumentError: As `segment_volume` and `long_axis_directions`.
        """
        labels = segment_volume(wall, apex, base, anterior, spacing_mm=spacing_mm, septum=septum)
        depth, rows, columns = labels.shape
        radial, around, along = long_axis_directions(
            (depth, rows, columns), apex, base, spacing_mm=spacing_mm, normals=normals
        )
        around[labels == _CAP] = np.nan
        named = {"radial": radial, "circumferential": around, "longitudinal": along}
        return cls(labels, named, spacing_mm)

    def strain(self, displacements: Path, convention: Convention) -> dict[str, np.ndarray]:
        """Mean strain of each segment by direction, fractions, f64 [T, 17]; NaN if not assessed.

        Raises:
            ArgumentError: As `strain.wall_strain` and `aha.segment_means`.
        """
        stacked = np.stack(list(self.directions.values()))
        means = [
            [
                segment_means(values, self.segments)
                for values in wall_strain(u, stacked, self.spacing_mm, convention)
            ]
            for u in displacements
        ]
        by_direction = np.array(means).swapaxes(0, 1)
        return dict(zip(self.directions, by_direction, strict=True))

    def global_strain(
        self, displacements: Path, convention: Convention
    ) -> tuple[GlobalStrain, ...]:
        """Empty: a global strain follows a contour, and a mask does not have one."""
        return ()


@dataclass(frozen=True, eq=False)
class ApicalContour:
    """A contour of the wall in an apical view at the reference frame.

    The contour is cut into six parts of equal length, three on each side. The strain of a segment
    is the change of its part's length. Lagrangian GLS is therefore the mean of the six.

    Attributes:
        points: In order from base through the apex to base, [N, 2] px (x, y).
        segments: AHA segments of the six parts in the order of the points, such as `FOUR_CHAMBER`.
        line: Which contour the points follow.
        spacing_mm: (row_mm, column_mm); None for equal spacing.

    Raises:
        ArgumentError: Fewer than 3 points, a point that is not finite, not six different segments
            of 1 to 16, or an invalid spacing.
    """

    points: np.ndarray
    segments: tuple[int, ...]
    line: Line = "mid-wall"
    spacing_mm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.points)
        if len(shape) != 2 or shape[0] < 3 or shape[1] != 2 or not np.isfinite(self.points).all():
            raise ArgumentError("a contour of 3 or more finite points [N, 2]", f"{list(shape)}")
        whole = all(isinstance(segment, (int, np.integer)) for segment in self.segments)
        if not whole or len(set(self.segments)) != 6 or not set(self.segments) <= set(range(1, 17)):
            raise ArgumentError("six different segments of 1 to 16", f"{self.segments}")
        if self.spacing_mm is not None:
            require_spacing(self.spacing_mm)

    def strain(self, displacements: Path, convention: Convention) -> dict[str, np.ndarray]:
        """Longitudinal strain of each segment, fractions, f64 [T, 17]; NaN if not in view.

        Raises:
            ArgumentError: As `points.follow`, or a contour of length 0.
        """
        start = self.even_points()
        found = np.full((len(displacements), 17), np.nan)
        for frame, here in enumerate(follow(start, displacements)):
            for part, segment in enumerate(self.segments):
                span = slice(part * _CHORDS, (part + 1) * _CHORDS + 1)
                found[frame, segment - 1] = line_strain(
                    start[span],
                    here[span],
                    spacing_mm=self.spacing_mm,
                    convention=convention,
                )
        return {"longitudinal": found}

    def global_strain(
        self, displacements: Path, convention: Convention
    ) -> tuple[GlobalStrain, ...]:
        """GLS at every frame, with its line and convention."""
        start = self.even_points()
        return tuple(
            global_longitudinal_strain(
                start, here, self.line, spacing_mm=self.spacing_mm, convention=convention
            )
            for here in follow(start, displacements)
        )

    def even_points(self) -> np.ndarray:
        """The contour in chords of equal length, [6 * _CHORDS + 1, 2] px."""
        points = np.asarray(self.points, np.float64)
        steps = np.ones(2) if self.spacing_mm is None else np.array(self.spacing_mm)[::-1]
        lengths = np.linalg.norm(np.diff(points * steps, axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(lengths)])
        wanted = np.linspace(0.0, along[-1], 6 * _CHORDS + 1)
        return np.stack([np.interp(wanted, along, axis) for axis in points.T], axis=1)


@dataclass(frozen=True, eq=False)
class WallMotion:
    """One beat of a wall. AHA segment k is entry k - 1; NaN means not assessed.

    Attributes:
        convention: Convention of every strain here.
        strain: By direction, since the reference frame, fractions, f64 [T, 17].
        peak: By direction, the strain of largest magnitude over all frames with its sign,
            fractions, [17]. It is negative for shortening and positive if a segment only lengthens.
        es: Frame of end-systole, as given or found. The frame found has the most shortening in the
            scored direction, mean over the assessed segments.
        scored: Direction of the scores: circumferential if present, else longitudinal.
        rule: Thresholds of the scores, fractions.
        scores: Scores at `es`, int64 [17]: 1 normal, 2 hypokinetic, 3 akinetic, 4 dyskinetic; 0
            not assessed.
        score_index: Mean score of the assessed segments (WMSI).
        global_strain: GLS at every frame; empty unless measured along a contour.
    """

    convention: Convention
    strain: dict[str, np.ndarray]
    peak: dict[str, np.ndarray]
    es: int
    scored: str
    rule: ScoreRule
    scores: np.ndarray
    score_index: float
    global_strain: tuple[GlobalStrain, ...]


def measure_wall(
    displacements: Iterable[np.ndarray],
    wall: SegmentedWall | ApicalContour,
    *,
    es: int | None = None,
    rule: ScoreRule | None = None,
    convention: Convention = "lagrangian",
) -> WallMotion:
    """Measures one beat of a wall from its displacements.

    Args:
        displacements: T fields [2, H, W] or [3, D, H, W] px since the reference frame
            (end-diastole), on its grid: a stream's results for one reference frame, or
            `compose_all` of the flows.
        wall: The wall at the reference frame.
        es: Index of end-systole in `displacements`; None to use the frame of most shortening. If
            that frame is the last, systole may not be over, and `es` must be given.
        rule: Thresholds of the scores; None for `ScoreRule.relative_to` the heart's best segments.
            That rule scores a heart that is weak everywhere as normal.
        convention: See `cineflow.motion.strain`.

    Raises:
        ArgumentError: `displacements` is empty; a displacement is not finite or differs in size
            from the wall; `es` is outside `displacements`, or None while the wall still shortens;
            no segment has a strain; no segment shortens and `rule` is None. Also as
            `strain.wall_strain`, `aha.segment_means` and `points.follow`.
    """
    if not isinstance(wall, (SegmentedWall, ApicalContour)):
        raise ArgumentError("a SegmentedWall or an ApicalContour", type(wall).__name__)
    path = list(displacements)
    if not path:
        raise ArgumentError("one or more displacements", "an empty list")
    count = len(path)
    if es is not None and not (isinstance(es, (int, np.integer)) and 0 <= es < count):
        raise ArgumentError(f"an end-systole in 0..{count - 1}", str(es))
    strain = wall.strain(path, convention)
    scored = "circumferential" if "circumferential" in strain else "longitudinal"
    curves = strain[scored]
    assessed = np.isfinite(curves[0])
    if not assessed.any():
        raise ArgumentError(
            "at least one segment with a strain", "none", "Do wall and directions overlap?"
        )
    if es is None:
        es = int(curves[:, assessed].mean(axis=1).argmin())
        if 0 < es == len(curves) - 1:
            raise ArgumentError(
                "displacements that go on until the wall lengthens again",
                f"{len(curves)} displacements with the most shortening at the last",
                "Track further, or pass `es` if the last frame is end-systole",
            )
    rule = rule or ScoreRule.relative_to(-curves[es])
    scores = wall_motion_score(-curves[es], rule)
    return WallMotion(
        convention,
        strain,
        {name: _largest(found) for name, found in strain.items()},
        es,
        scored,
        rule,
        scores,
        wall_motion_score_index(scores),
        wall.global_strain(path, convention),
    )


def _largest(curves: np.ndarray) -> np.ndarray:
    """The entry of each column of [T, 17] with the largest magnitude, with its sign, [17]."""
    frame = np.abs(curves).argmax(axis=0)
    return np.asarray(np.take_along_axis(curves, frame[None], axis=0)[0])
