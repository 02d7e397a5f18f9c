"""Strain along lines of tracked points: the wall as a mesh whose lines change their length.

A wall is a set of material points in one frame, and lines between them. The points are followed
through the clip, forward and backward. The strain of a line at a frame is the change of its length
since end-diastole, so every beat can have its own reference frame without tracking again.

`short_axis` and `apical` make walls from contours, and `volume_lines.ventricle` that of a volume.
`tissue` makes one without any: it names places of the picture and not of the heart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import get_args

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.aha import NAMES, Level, Sense, require_sense, segment_of_angle
from cineflow.motion.fields import require_spacing
from cineflow.motion.points import read_at
from cineflow.motion.strain import Convention, Line, from_stretch
from cineflow.motion.wall import ApicalContour

#: Angles around a short axis, in steps of 5 degrees, so that each segment's border is one of them.
_ANGLES = 72
#: Layers from endocardium to epicardium. The outermost are the contours themselves.
_LAYERS = 5
#: Nodes of one line of the tissue's mesh.
_TISSUE_NODES = 5


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a wall in one direction.

    Attributes:
        name: What it is ("mid anterior", "upper left").
        segment: AHA segment, 1 to 17; 0 where the part is not one.
        direction: "circumferential", "radial", "longitudinal", "across", "down" or "through".
        lines: Indices of the points of each line, int64 [L, M].
    """

    name: str
    segment: int
    direction: str
    lines: np.ndarray


@dataclass(frozen=True, eq=False)
class WallLines:
    """A wall in one frame.

    Attributes:
        view: "short-axis", "apical", "ventricle" or "tissue".
        points: Material points, f64 [N, D] px (x, y[, z]).
        parts: Parts with a strain each.
        cavity: Indices of the points of a line that is longest at end-diastole, int64 [M].
        outlines: Lines that pictures show, each int64 [M].
        about: What the lines are, as a sentence for the report.
        anatomical: Whether the parts are segments of the heart.
    """

    view: str
    points: np.ndarray
    parts: tuple[Part, ...]
    cavity: np.ndarray
    outlines: tuple[np.ndarray, ...]
    about: str
    anatomical: bool = True


def apical(
    contour: np.ndarray,
    segments: tuple[int, ...],
    line: Line = "mid-wall",
    spacing_mm: tuple[float, float] | None = None,
) -> WallLines:
    """The wall of an apical view from one contour; see `ApicalContour` for its arguments.

    The six parts are cut as there, and a seventh is the whole contour, whose strain is GLS.

    Raises:
        ArgumentError: As `ApicalContour`, or an unknown line.
    """
    if line not in get_args(Line):
        raise ArgumentError(f"one of the lines {', '.join(get_args(Line))}", repr(line))
    points = ApicalContour(contour, segments, line, spacing_mm).even_points()
    chords = (len(points) - 1) // 6
    parts = [
        Part(
            NAMES[segment - 1],
            segment,
            "longitudinal",
            np.arange(k * chords, (k + 1) * chords + 1)[None],
        )
        for k, segment in enumerate(segments)
    ]
    whole = np.arange(len(points))
    parts.append(Part("global", 0, "longitudinal", whole[None]))
    about = (
        f"Longitudinal strain is the change of length of the {line} contour, whole (GLS) and in "
        "six parts of equal length."
    )
    return WallLines("apical", points, tuple(parts), whole, (whole,), about)


def short_axis(
    endo: np.ndarray,
    epi: np.ndarray,
    anterior: tuple[float, float],
    level: Level,
    *,
    septum: Sense = "counterclockwise",
    spacing_mm: tuple[float, float] | None = None,
) -> WallLines:
    """The wall of a short-axis view from its two borders.

    Args:
        endo, epi: Closed contours of the endocardium and the epicardium, [N, 2] px (x, y).
        anterior, level, septum: See `aha.segment_map`.
        spacing_mm: (row_mm, column_mm); None for equal spacing.

    Raises:
        ArgumentError: A contour of fewer than 8 points or that does not go once around the cavity's
            centre, an epicardium that is not outside the endocardium, an `anterior` point at the
            centre, or an unknown level or sense.
    """
    require_sense(septum)
    steps = steps_of(spacing_mm, 2)
    inner, outer = (_contour(name, one) for name, one in (("endo", endo), ("epi", epi)))
    centre = inner.mean(axis=0)
    towards = (np.asarray(anterior, np.float64) - centre) * steps
    if towards.shape != (2,) or not np.isfinite(towards).all() or not towards.any():
        raise ArgumentError("an anterior point away from the centre", f"{anterior}")
    sense = -1.0 if septum == "counterclockwise" else 1.0
    first = np.arctan2(towards[1], towards[0])
    angles = first + sense * np.deg2rad(np.arange(_ANGLES) * (360.0 / _ANGLES))
    radii = [
        _radii("endo", inner, centre, steps, angles),
        _radii("epi", outer, centre, steps, angles),
    ]
    if not (radii[0] < radii[1]).all():
        raise ArgumentError(
            "an epicardium outside the endocardium all around", "contours that cross"
        )
    depth = np.linspace(0.0, 1.0, _LAYERS)[:, None]
    radius = radii[0] + depth * (radii[1] - radii[0])
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=-1) / steps
    points = (centre + radius[..., None] * rays).reshape(-1, 2)
    index = np.arange(len(points)).reshape(_LAYERS, _ANGLES)
    parts: list[Part] = []
    for segment, nodes in arcs(level, _ANGLES):
        name = NAMES[segment - 1]
        parts.append(Part(name, segment, "circumferential", index[:, nodes]))
        parts.append(Part(name, segment, "radial", index[:, nodes].T))
    rings = np.concatenate([index, index[:, :1]], axis=1)
    parts.append(Part("global", 0, "circumferential", rings))
    parts.append(Part("global", 0, "radial", index.T))
    about = (
        "Circumferential strain is the change of length of five lines around the wall, from the "
        "endocardium to the epicardium, and radial strain that of lines across it; their mean."
    )
    return WallLines("short-axis", points, tuple(parts), rings[0], (rings[0], rings[-1]), about)


def arcs(level: Level, count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Each AHA segment of a level, and its nodes among `count` even angles from anterior.

    A segment's nodes reach from border to border; a chord belongs to the segment of its middle.
    """
    step = 360.0 / count
    owner = segment_of_angle((np.arange(count) + 0.5) * step, level)
    for segment in np.unique(owner):
        # From the chord that follows another segment's to the last one, around the circle.
        mine = owner == segment
        start = int(np.flatnonzero(mine & ~np.roll(mine, 1))[0])
        yield int(segment), (start + np.arange(int(mine.sum()) + 1)) % count


#: Directions of a mesh without a contour, by the array's axes from the last one.
_OF_AXES = ("across", "down", "through")
#: The two sides of a picture along each of the array's axes, from the last one.
_SIDES = (("left", "right"), ("upper", "lower"), ("front", "back"))


def tissue(mask: np.ndarray, step: int) -> WallLines:
    """A mesh over everything that is tissue, in quarters (eighths of a volume), without a contour.

    Args:
        mask: Where the clip shows tissue, bool [H, W] or [D, H, W].
        step: Distance between neighbouring nodes, px.

    Raises:
        ArgumentError: The mask has no place for a line.
    """
    axes = [np.arange(step // 2, size, step) for size in mask.shape]
    grid = np.meshgrid(*axes, indexing="ij")
    inside = mask[tuple(grid)]
    index = np.where(inside, np.cumsum(inside).reshape(inside.shape) - 1, -1)
    points = np.stack([one[inside] for one in reversed(grid)], axis=-1).astype(np.float64)
    found: dict[str, np.ndarray] = {}
    for direction, axis in zip(_OF_AXES, range(mask.ndim - 1, -1, -1), strict=False):
        along = np.moveaxis(index, axis, -1)
        if along.shape[-1] < _TISSUE_NODES:
            continue
        runs = np.lib.stride_tricks.sliding_window_view(along, _TISSUE_NODES, axis=-1)
        found[direction] = runs[(runs >= 0).all(axis=-1)]
    if not any(len(lines) for lines in found.values()):
        raise ArgumentError(
            f"tissue with lines of {(_TISSUE_NODES - 1) * step} px", "none in this clip",
            "Give a contour: --wall FILE.json",
        )  # fmt: skip
    middle = points.mean(axis=0)
    parts = []
    for direction, lines in found.items():
        beyond = points[lines].mean(axis=1) > middle
        for corner in product((0, 1), repeat=mask.ndim):  # (z, y, x)
            here = (beyond == np.array(corner[::-1], bool)).all(axis=1)
            if here.any():
                sides = zip(_SIDES, corner[::-1], strict=False)
                across, down, *through = (names[side] for names, side in sides)
                parts.append(Part(" ".join([down, across, *through]), 0, direction, lines[here]))
        if len(lines):
            parts.append(Part("global", 0, direction, lines))
    whole, ways, cut = (
        ("picture", "across and down the picture", "four quarters")
        if mask.ndim == 2
        else ("volume", "across, down and through the volume", "eight parts")
    )
    about = (
        f"No contour was given, so the strain is that of all tissue in the {whole}, {ways}, whole "
        f"and in {cut}. These are not segments of the heart."
    )
    return WallLines(
        "tissue", points, tuple(parts), np.zeros(0, np.int64), (), about, anatomical=False
    )


def follow_flow(points: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Points [N, D] px one frame later, by the flow [D, *S] px from this frame to that one.

    A point outside the picture moves as the nearest pixel does.
    """
    return points + _sample(flow, points)


def follow_back(points: np.ndarray, flow: np.ndarray, rounds: int = 20) -> np.ndarray:
    """Points [N, D] px one frame earlier: the p with p + flow(p) = `points`, by iteration."""
    earlier = points - _sample(flow, points)
    for _ in range(rounds):
        change = points - _sample(flow, earlier) - earlier
        earlier = earlier + change
        if np.abs(change).max(initial=0.0) < 1e-4:
            break
    return earlier


def stretch(
    path: np.ndarray,
    part: Part,
    references: np.ndarray,
    spacing_mm: tuple[float, ...] | None = None,
) -> np.ndarray:
    """Mean stretch ratio L / L0 of a part's lines at each frame, f64 [T].

    Args:
        path: Positions of the wall's points, [T, N, D] px (x, y[, z]).
        part: The part.
        references: Reference frame of each frame, int64 [T].
        spacing_mm: ([slice_mm, ]row_mm, column_mm); None for equal spacing.

    Raises:
        ArgumentError: A line of length 0 at a reference frame.
    """
    length = line_lengths(path, part, spacing_mm)
    start = length[references]
    if not (start > 0).all():
        raise ArgumentError(f"lines with a length in {part.name}", "length 0 at a reference frame")
    return np.asarray((length / start).mean(axis=1))


def line_lengths(
    path: np.ndarray, part: Part, spacing_mm: tuple[float, ...] | None = None
) -> np.ndarray:
    """Length of each of a part's lines, f64 [T, L], in mm with a spacing, else px."""
    along = np.diff(path[:, part.lines] * steps_of(spacing_mm, path.shape[-1]), axis=2)
    return np.asarray(np.linalg.norm(along, axis=-1).sum(axis=-1))


def part_strain(
    path: np.ndarray,
    part: Part,
    references: np.ndarray,
    spacing_mm: tuple[float, ...] | None = None,
    convention: Convention = "lagrangian",
) -> np.ndarray:
    """Strain of a part at each frame, a fraction, f64 [T]; arguments as `stretch`."""
    return from_stretch(stretch(path, part, references, spacing_mm), convention)


def steps_of(spacing_mm: tuple[float, ...] | None, dimensions: int) -> np.ndarray:
    """mm for each pixel along x, y[, z], f64 [D]; ones without a spacing.

    Raises:
        ArgumentError: Not `dimensions` positive numbers.
    """
    if spacing_mm is None:
        return np.ones(dimensions)
    return np.array(require_spacing(spacing_mm, dimensions))[::-1]


def _sample(flow: np.ndarray, points: np.ndarray) -> np.ndarray:
    last = np.array(flow.shape[:0:-1]) - 1
    return read_at(flow, np.clip(points, 0, last))


def _contour(name: str, points: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < 8 or not np.isfinite(array).all():
        raise ArgumentError(f"{name}: 8 or more finite points [N, 2]", f"{list(array.shape)}")
    return array


def _radii(
    name: str, contour: np.ndarray, centre: np.ndarray, steps: np.ndarray, angles: np.ndarray
) -> np.ndarray:
    """Distance of a closed contour from the centre along each angle, in the unit of `steps`."""
    offset = (contour - centre) * steps
    around = angles_around(name, offset)
    return np.interp(angles, around, np.linalg.norm(offset, axis=1), period=2 * np.pi)


def angles_around(name: str, offset: np.ndarray) -> np.ndarray:
    """Angle of each point [N, 2] of a closed contour from its centre, radians, [N].

    Raises:
        ArgumentError: The points do not go once around the centre.
    """
    around = np.unwrap(np.arctan2(offset[:, 1], offset[:, 0]))
    turns = np.append(around, around[0] + np.copysign(2 * np.pi, around[-1] - around[0]))
    change = np.diff(turns) * np.sign(turns[-1] - turns[0])
    if not (change > 0).all():
        raise ArgumentError(
            f"{name}: points in order, once around the cavity's centre", "a contour that turns back"
        )
    return np.asarray(around)
