"""What the user says about a clip: the wall, or the four points of a long axis, and the phases.

It is JSON, or the same words as options of the command:

    {"view": "four-chamber", "contour": [[x, y], ...]}            also two-chamber
    {"view": "short-axis", "endo": [[x, y], ...], "epi": [[x, y], ...], "anterior": [x, y],
     "level": "mid"}
    {"view": "parasternal-long-axis", "points": [[x, y], [x, y], [x, y], [x, y]]}

Coordinates are pixels of the clip, x first, with 0 at the centre of the first pixel. `frame` is the
frame they were drawn in (default 0). `ed` and `es` list phases; without them they are found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion import FOUR_CHAMBER, TWO_CHAMBER, ventricle
from cineflow.motion.lines import WallLines, apical, short_axis

_APICAL = {"four-chamber": FOUR_CHAMBER, "two-chamber": TWO_CHAMBER}
LONG_AXIS = "parasternal-long-axis"
VIEWS = (*_APICAL, "short-axis", LONG_AXIS)

#: Keys of each view; those of the last line belong to all.
_NEEDS = {
    **dict.fromkeys(_APICAL, ({"contour"}, {"line"})),
    "short-axis": ({"endo", "epi", "anterior"}, {"level", "septum"}),
    LONG_AXIS: ({"points"}, set[str]()),
}
_ALWAYS = {"view", "frame", "ed", "es"}

#: Ending of a wall's file that lies next to its clip: `clip.dcm.wall.json`.
SUFFIX = ".wall.json"


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the user drew, checked as far as that goes without the clip.

    Attributes:
        view: One of `VIEWS`; "" where nothing was drawn.
        frame: Frame of the clip that the coordinates belong to.
        ed, es: Phases given by the user.
        values: The other entries.
    """

    view: str = ""
    frame: int = 0
    ed: tuple[int, ...] = ()
    es: tuple[int, ...] = ()
    values: Mapping[str, Any] | None = None

    def wall(self, spacing_mm: tuple[float, float] | None) -> WallLines | None:
        """The wall to follow; None for a long axis, or where nothing was drawn.

        Raises:
            ArgumentError: As `lines.apical` and `lines.short_axis`.
        """
        if self.values is None or self.view == LONG_AXIS:
            return None
        if self.view in _APICAL:
            line = self.values.get("line", "mid-wall")
            return apical(_points(self.values, "contour"), _APICAL[self.view], line, spacing_mm)
        return short_axis(
            _points(self.values, "endo"),
            _points(self.values, "epi"),
            tuple(_numbers(self.values["anterior"])),  # type: ignore[arg-type]
            self.values.get("level", "mid"),
            septum=self.values.get("septum", "counterclockwise"),
            spacing_mm=spacing_mm,
        )

    def landmarks(self) -> np.ndarray | None:
        """The four points of a long axis, [4, 2] px; None for other views.

        Raises:
            ArgumentError: Not four points in their order.
        """
        if self.values is None or self.view != LONG_AXIS:
            return None
        points = _points(self.values, "points")
        if points.shape != (4, 2) or not ventricle.in_order(points[None])[0]:
            raise ArgumentError(
                f"four points in order along one line: {', '.join(ventricle.BORDERS)}",
                f"{points.tolist()}",
            )
        return points


def read_wall(path: Path) -> Drawn:
    """Read a wall's file.

    Raises:
        ArgumentError: It is not such a file. The message does not repeat the file's content.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError) as error:
        raise ArgumentError(
            "a file of JSON with a view", f"{type(error).__name__}", _SEE
        ) from error
    if not isinstance(found, dict):
        raise ArgumentError('JSON like {"view": "four-chamber", ...}', type(found).__name__, _SEE)
    return drawn(found)


def drawn(found: Mapping[str, Any]) -> Drawn:
    """Check what was drawn.

    Raises:
        ArgumentError: An unknown view, a missing or unknown entry, or an entry of another kind.
    """
    view = found.get("view")
    if view not in VIEWS:
        raise ArgumentError(f"a view of {', '.join(VIEWS)}", repr(view), _SEE)
    needed, optional = _NEEDS[view]
    missing = sorted(needed - set(found))
    unknown = sorted(set(found) - needed - optional - _ALWAYS)
    if missing or unknown:
        raise ArgumentError(
            f"{view} with {', '.join(sorted(needed))} and no unknown entries",
            f"missing {missing}, unknown {unknown}",
            _SEE,
        )
    frame = found.get("frame", 0)
    phases = {name: found.get(name, []) for name in ("ed", "es")}
    whole = [frame, *phases["ed"], *phases["es"]]
    if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in whole):
        raise ArgumentError("frame, ed and es as whole numbers of 0 or more", f"{whole}", _SEE)
    values = {name: found[name] for name in (needed | optional) & set(found)}
    return Drawn(view, frame, tuple(phases["ed"]), tuple(phases["es"]), values)


def parse_points(text: str) -> list[list[float]]:
    """Points from "x,y x,y ...".

    Raises:
        ArgumentError: The text is something else.
    """
    try:
        points = [[float(number) for number in pair.split(",")] for pair in text.split()]
    except ValueError:
        points = []
    if not points or any(len(point) != 2 for point in points):
        raise ArgumentError('points as "x,y x,y ..."', repr(text[:40]))
    return points


_SEE = "docs/analyse.md shows what each view needs"


def _points(values: Mapping[str, Any], name: str) -> np.ndarray:
    try:
        points = np.array(values[name], np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ArgumentError(f"{name}: finite points [[x, y], ...]", "something else", _SEE)
    return points


def _numbers(value: Any) -> list[float]:
    try:
        numbers = [float(one) for one in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 2:
        raise ArgumentError("a point [x, y]", "something else", _SEE)
    return numbers
