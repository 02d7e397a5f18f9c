"""What the user says about a clip: the wall, or the four points of a long axis, and the phases.

It is JSON, or the same words as options of the command:

    {"view": "four-chamber", "contour": [[x, y], ...]}            also two-chamber
    {"view": "short-axis", "endo": [[x, y], ...], "epi": [[x, y], ...], "anterior": [x, y],
     "level": "mid"}
    {"view": "parasternal-long-axis", "points": [[x, y], [x, y], [x, y], [x, y]]}
    {"view": "ventricle", "rings": [{"endo": [[x, y, z], ...], "epi": [[x, y, z], ...]}, ...],
     "apex": [x, y, z], "anterior": [x, y, z]}                          volumes

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
from cineflow.motion.volume_lines import ventricle as ventricle_of_volumes

_APICAL = {"four-chamber": FOUR_CHAMBER, "two-chamber": TWO_CHAMBER}
LONG_AXIS = "parasternal-long-axis"
#: The view of volumes; all others are of images.
VENTRICLE = "ventricle"
VIEWS = (*_APICAL, "short-axis", LONG_AXIS, VENTRICLE)

#: Keys of each view; those of the last line belong to all.
_NEEDS = {
    **dict.fromkeys(_APICAL, ({"contour"}, {"line"})),
    "short-axis": ({"endo", "epi", "anterior"}, {"level", "septum"}),
    LONG_AXIS: ({"points"}, set[str]()),
    VENTRICLE: ({"rings", "apex", "anterior"}, {"septum"}),
}
_ALWAYS = {"view", "frame", "ed", "es"}
_WORDS = {"line", "level", "septum"}

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

    def wall_of_volumes(
        self, spacing_mm: tuple[float, float, float] | None, *, radial: bool = False
    ) -> WallLines | None:
        """The wall to follow through volumes; None where nothing was drawn.

        Args:
            spacing_mm: (slice_mm, row_mm, column_mm) of the clip.
            radial: As of `volume_lines.ventricle`.

        Raises:
            ArgumentError: Drawn in images, or as `volume_lines.ventricle`.
        """
        if self.values is None:
            return None
        if self.view != VENTRICLE:
            raise ArgumentError(
                f"images, to follow a wall of {self.view}", "volumes", f"Their view is {VENTRICLE}"
            )
        return ventricle_of_volumes(
            [tuple(_points(ring, name, 3) for name in ("endo", "epi"))  # type: ignore[misc]
             for ring in self.values["rings"]],
            _numbers(self.values["apex"], 3),
            _numbers(self.values["anterior"], 3),
            septum=self.values.get("septum", "counterclockwise"),
            spacing_mm=spacing_mm,
            radial=radial,
        )  # fmt: skip

    def wall(self, spacing_mm: tuple[float, float] | None) -> WallLines | None:
        """The wall to follow; None for a long axis, or where nothing was drawn.

        Raises:
            ArgumentError: Drawn in volumes, or as `lines.apical` and `lines.short_axis`.
        """
        if self.view == VENTRICLE:
            views = ", ".join(VIEWS[:-1])
            raise ArgumentError("volumes, to follow a ventricle", "images", f"Views: {views}")
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
    if path.exists() and not path.is_file():  # reading a pipe or a device might never end
        raise ArgumentError("a file of JSON with a view", "something else than a file", _SEE)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
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
        raise ArgumentError(f"a view of {', '.join(VIEWS)}", "another word, or none", _SEE)
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
    lists = all(isinstance(one, list) for one in phases.values())
    whole = [frame, *phases["ed"], *phases["es"]] if lists else []
    if not whole or any(type(one) is not int or one < 0 for one in whole):
        wanted = "a whole number of 0 or more as frame, lists of them as ed and es"
        raise ArgumentError(wanted, repr(whole or phases), _SEE)
    values = {name: found[name] for name in (needed | optional) & set(found)}
    words = [values[name] for name in _WORDS & set(values)]
    if not all(isinstance(word, str) for word in words):
        raise ArgumentError(f"words as {', '.join(sorted(_WORDS))}", "something else", _SEE)
    rings = values.get("rings", [])
    if not isinstance(rings, list) or not all(isinstance(one, dict) for one in rings):
        raise ArgumentError('rings: [{"endo": ..., "epi": ...}, ...]', "something else", _SEE)
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


def _points(values: Mapping[str, Any], name: str, dimensions: int = 2) -> np.ndarray:
    try:
        points = np.array(values[name], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != dimensions or not np.isfinite(points).all():
        wanted = ", ".join("xyz"[:dimensions])
        raise ArgumentError(f"{name}: finite points [[{wanted}], ...]", "something else", _SEE)
    return points


def _numbers(value: Any, dimensions: int = 2) -> list[float]:
    try:
        numbers = [float(one) for one in value]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != dimensions:
        wanted = ", ".join("xyz"[:dimensions])
        raise ArgumentError(f"a point [{wanted}]", "something else", _SEE)
    return numbers
