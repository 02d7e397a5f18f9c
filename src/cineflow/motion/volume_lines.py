"""The wall of a left ventricle in volumes, as a mesh of lines; see `lines`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.aha import NAMES, Level, Sense, require_sense
from cineflow.motion.fields import require_point
from cineflow.motion.lines import Part, WallLines, angles_around, arcs, steps_of

#: Angles around the axis, in steps of 5 degrees, so that each segment's border is one of them.
_ANGLES = 72
#: Layers from endocardium to epicardium. The outermost are the contours themselves.
_LAYERS = 5
#: Intervals along the axis within each third.
_INTERVALS = 4
_DIRECTIONS = ("circumferential", "radial", "longitudinal")
#: Why a page of volumes has no radial strain.
NO_RADIAL = (
    "Radial strain, across the wall, is not given: the wall is a few voxels thick, less than the "
    "window of a tracker, whose radial strain of a phantom was wrong."
)
#: Thirds of the long axis from the apex on.
_THIRDS: tuple[Level, ...] = ("apical", "mid", "basal")
#: A third is measured where the contours cover at least this share of it.
_COVERED = 0.5
#: Angles of the mesh from one drawn point of a contour to the next.
_DRAWN = 6


def ventricle(
    rings: Sequence[tuple[np.ndarray, np.ndarray]],
    apex: Sequence[float],
    anterior: Sequence[float],
    *,
    septum: Sense = "counterclockwise",
    spacing_mm: tuple[float, float, float] | None = None,
    radial: bool = False,
) -> WallLines:
    """The wall of a left ventricle from its two borders at several heights.

    The long axis leads from `apex` to the middle of the first ring, and is cut into thirds as in
    `aha.segment_volume`. Between rings the borders are interpolated. Strain across the wall is left
    out by default: it depends on the motion of two borders a few voxels apart, and no tracker of
    volumes has been shown to measure it (docs/motion/volumes.md).

    Args:
        rings: Endocardium and epicardium around the axis, closed, each [N, 3] voxels (x, y, z),
            from the base to the apex.
        apex: Apical end of the cavity, (x, y, z) voxels.
        anterior: Any point on the anterior side of the axis, (x, y, z) voxels.
        septum: See `aha.segment_volume`.
        spacing_mm: (slice_mm, row_mm, column_mm); None for equal spacing.
        radial: Also lines across the wall, for motion that is known or a tracker under test.

    Raises:
        ArgumentError: Fewer than two rings, or not in order from base to apex; a contour of fewer
            than 8 points, or that does not go once around the cavity's middle; an epicardium that
            is not outside the endocardium; `anterior` on the axis; contours that cover less than
            half of each third; or an unknown sense.

    Source:
        Cerqueira et al. 2002 for the segments.
    """
    require_sense(septum)
    if len(rings) < 2:
        raise ArgumentError("two rings or more, from the base to the apex", f"{len(rings)}")
    steps = steps_of(spacing_mm, 3)
    borders = [
        tuple(
            _contour(f"{name} of ring {number}", one) * steps
            for name, one in zip(("endo", "epi"), pair, strict=True)
        )
        for number, pair in enumerate(rings)
    ]
    origin = require_point("apex", tuple(apex), 3) * steps
    base = borders[0][0].mean(axis=0)
    axis = base - origin
    length = float(np.linalg.norm(axis))
    if not length > 0:
        raise ArgumentError("an apex away from the first ring's middle", f"{list(apex)}")
    axis = axis / length
    towards = require_point("anterior", tuple(anterior), 3) * steps - origin
    towards = towards - (towards @ axis) * axis
    if not np.linalg.norm(towards) > 1e-9 * length:
        raise ArgumentError("an anterior point away from the axis", f"{list(anterior)}")
    towards = towards / np.linalg.norm(towards)
    # Counterclockwise seen from the apex: opposite to the right-hand rule about apex to base.
    septal = np.cross(towards, axis) * (1.0 if septum == "counterclockwise" else -1.0)
    frame = np.stack([towards, septal, axis])  # rows; a point's coordinates are offset @ frame.T
    meshes = np.stack(
        [_ring(number, *((one - origin) @ frame.T for one in pair))
         for number, pair in enumerate(borders)]
    )  # fmt: skip
    heights = meshes[:, 0, :, 2].mean(axis=1) / length
    if not (np.diff(heights) < 0).all():
        raise ArgumentError(
            "rings in order from the base to the apex",
            f"heights of {np.round(heights, 2).tolist()} of the axis",
        )
    nodes, thirds = _heights(heights)
    mesh = _between(meshes[::-1], heights[::-1], nodes)
    points = ((mesh @ frame + origin) / steps).reshape(-1, 3)
    index = np.arange(len(points)).reshape(mesh.shape[:3])
    directions = tuple(one for one in _DIRECTIONS if radial or one != "radial")
    parts = list(_segments(index, thirds, directions))
    closed = np.concatenate([index, index[..., :1]], axis=-1)
    wholes = {
        "circumferential": closed.reshape(-1, _ANGLES + 1),
        "radial": np.moveaxis(index, 1, -1).reshape(-1, _LAYERS),
        "longitudinal": np.moveaxis(index, 0, -1).reshape(-1, len(nodes)),
    }
    parts += [Part("global", 0, direction, wholes[direction]) for direction in directions]
    outlines = [index[row, layer, ::_DRAWN] for row in range(len(nodes)) for layer in (0, -1)]
    across = "across it (radial) " if radial else ""
    left_out = "" if radial else f" {NO_RADIAL}"
    about = (
        f"Strain is the mean change of length of lines around the wall (circumferential), {across}"
        "and from the base to the apex (longitudinal), from the endocardium to the epicardium, in "
        f"three thirds of the long axis.{left_out}"
    )
    middle = closed[len(nodes) // 2, 0]
    return WallLines("ventricle", points, tuple(parts), middle, tuple(outlines), about)


def _contour(name: str, points: np.ndarray) -> np.ndarray:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) < 8 or not np.isfinite(array).all():
        raise ArgumentError(f"{name}: 8 or more finite points [N, 3]", f"{list(array.shape)}")
    return array


def _ring(number: int, endo: np.ndarray, epi: np.ndarray) -> np.ndarray:
    """Layers of one ring at even angles from anterior towards the septum, [layers, angles, 3]."""
    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    centre = endo[:, :2].mean(axis=0)
    found = []
    for name, contour in (("endo", endo), ("epi", epi)):
        offset = contour[:, :2] - centre
        around = angles_around(f"{name} of ring {number}", offset)
        radius, height = (
            np.interp(angles, around, values, period=2 * np.pi)
            for values in (np.linalg.norm(offset, axis=1), contour[:, 2])
        )
        found.append((radius, height))
    (inner, low), (outer, high) = found
    if not (inner < outer).all():
        raise ArgumentError(
            f"an epicardium outside the endocardium all around ring {number}",
            "contours that cross",
        )
    depth = np.linspace(0.0, 1.0, _LAYERS)[:, None]
    radius = inner + depth * (outer - inner)
    height = low + depth * (high - low)
    x = centre[0] + radius * np.cos(angles)
    y = centre[1] + radius * np.sin(angles)
    return np.stack([x, y, height], axis=-1)


def _heights(rings: np.ndarray) -> tuple[np.ndarray, dict[Level, slice]]:
    """Heights of the mesh's levels, shares of the axis, upwards; and the levels of each third."""
    lowest, highest = float(rings[-1]), float(rings[0])
    nodes: list[float] = []
    thirds: dict[Level, slice] = {}
    for number, level in enumerate(_THIRDS):
        low, high = max(lowest, number / 3), min(highest, (number + 1) / 3)
        if high - low < _COVERED / 3:
            continue
        # Neighbouring thirds share a level.
        first = len(nodes) - 1 if nodes and np.isclose(nodes[-1], low) else len(nodes)
        nodes[first:] = np.linspace(low, high, _INTERVALS + 1).tolist()
        thirds[level] = slice(first, len(nodes))
    if not thirds:
        raise ArgumentError(
            "contours that cover half of a third of the long axis",
            f"heights of {lowest:.2f} to {highest:.2f} of it",
        )
    return np.array(nodes), thirds


def _between(meshes: np.ndarray, heights: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """The rings [R, ...] at `heights`, upwards, interpolated at `nodes`."""
    above = np.clip(np.searchsorted(heights, nodes), 1, len(heights) - 1)
    low, high = heights[above - 1], heights[above]
    share = ((nodes - low) / (high - low)).reshape(-1, *[1] * (meshes.ndim - 1))
    return np.asarray((1.0 - share) * meshes[above - 1] + share * meshes[above])


def _segments(
    index: np.ndarray, thirds: dict[Level, slice], directions: Sequence[str]
) -> list[Part]:
    """Parts of each segment: lines of the mesh [heights, layers, angles] in these directions."""
    parts = []
    for level in reversed(_THIRDS):
        if level not in thirds:
            continue
        here = index[thirds[level]]
        for segment, nodes in arcs(level, _ANGLES):
            mine = here[:, :, nodes]
            lines = {
                "circumferential": mine,
                "radial": np.moveaxis(mine, 1, -1),
                "longitudinal": np.moveaxis(mine, 0, -1),
            }
            parts += [
                Part(
                    NAMES[segment - 1],
                    segment,
                    direction,
                    lines[direction].reshape(-1, lines[direction].shape[-1]),
                )
                for direction in directions
            ]
    return parts
