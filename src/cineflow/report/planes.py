"""An animated picture of volumes with a model's readings: three planes at right angles.

The planes lie as in an engineer's drawing. The second is to the right of the first and has the same
rows; the third is below it and has the same columns. Thin lines show where the other planes cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cineflow.cine import PLANES, Cine
from cineflow.motion.strain_curves import StrainCurves
from cineflow.report.overlay import MOST_FRAMES, draw_frame, save_animation
from cineflow.report.readings import Readings, View
from cineflow.report.sizes import MOST_HEIGHT

_GAP = 8  # px between the planes
_NEAR = 1.0  # voxels from a plane within which a point of the wall is drawn
_MOST_POINTS = 60  # of the wall in one plane
_LINE = (96, 108, 116)
_TEXT = (214, 222, 226)
_EDGE: dict[str, Any] = {"stroke_width": 2, "stroke_fill": (0, 0, 0)}  # legible on bright tissue


@dataclass(frozen=True, eq=False)
class Panel:
    """One plane of the picture.

    Attributes:
        view: Which slice it is.
        cine: That slice over time.
        readings: What the model gave there, in the slice's pixels.
    """

    view: View
    cine: Cine
    readings: Readings

    @property
    def title(self) -> str:
        """What it shows ("xy, z = 12")."""
        return f"{self.view.plane.name}, {self.view.plane.along} = {self.view.index}"


def with_wall(panels: Sequence[Panel], strain: StrainCurves) -> tuple[Panel, ...]:
    """The panels with the tracked points of a wall in place of points that were chosen for each.

    Of the wall's outlines, a panel shows those points that lie within a voxel of its plane, or
    nearest to it, at end-diastole.
    """
    nodes = strain.wall.outlines or (np.arange(strain.path.shape[1]),)
    path = strain.path[:, np.unique(np.concatenate(nodes))]
    start = path[strain.beats.beats[strain.shown].ed]
    found = []
    for panel in panels:
        plane = panel.view.plane
        away = np.abs(start[:, 2 - plane.normal] - panel.view.index)
        here = away <= max(_NEAR, float(away.min()))
        if here.sum() > _MOST_POINTS:
            here &= np.cumsum(here) % -(-int(here.sum()) // _MOST_POINTS) == 0
        within = path[:, here][..., list(plane.components)].astype(np.float32)
        points = dict(enumerate(within))
        found.append(replace(panel, readings=replace(panel.readings, points=points)))
    return tuple(found)


def write_planes(
    path: str | Path, panels: Sequence[Panel], *, width: int = 640, slowdown: float = 2.5
) -> Path:
    """Write an animation of three planes (the suffix decides: .webp or .gif).

    Voxels are drawn with the shape that their spacing gives them, and as cubes without a spacing.

    Args:
        path: File to write; its folder is created.
        panels: One for each of `PLANES`, in their order, of one sequence of volumes.
        width: Width of the picture, px.
        slowdown: The animation runs this much slower than the volumes.

    Returns:
        `path`.
    """
    layout = _Layout(panels, width)
    count = min(len(panels[0].cine), MOST_FRAMES)
    images = [layout.draw(panels, index) for index in range(count)]
    return save_animation(path, images, panels[0].cine.times_ms, slowdown)


class _Layout:
    """Where the planes lie in the picture, and how large a voxel is."""

    def __init__(self, panels: Sequence[Panel], width: int) -> None:
        first, right, _ = panels
        assert [panel.view.plane for panel in panels] == list(PLANES)
        (height, across), depth = first.cine.size, right.cine.size[1]
        y, x = first.cine.spacing_mm or (1.0, 1.0)
        z = 1.0 if right.cine.spacing_mm is None else right.cine.spacing_mm[1]
        unit = min(
            (width - _GAP) / (across * x + depth * z),
            (2 * MOST_HEIGHT - _GAP) / (height * y + depth * z),
        )
        self.scales = ((x * unit, y * unit), (z * unit, y * unit), (x * unit, z * unit))
        step = round(across * x * unit) + _GAP, round(height * y * unit) + _GAP
        self.corners = ((0, 0), (step[0], 0), (0, step[1]))
        self.size = width, step[1] + round(depth * z * unit)
        #: Of each plane: where the others cut it, in voxels to the right and down.
        at = {panel.view.plane.normal: panel.view.index for panel in panels}
        self.cuts = [(at[one.view.plane.columns], at[one.view.plane.rows]) for one in panels]

    def draw(self, panels: Sequence[Panel], index: int) -> Image.Image:
        """All planes of one volume."""
        whole = Image.new("RGB", self.size)
        draw = ImageDraw.Draw(whole)
        font = ImageFont.load_default(13)
        places = zip(panels, self.scales, self.corners, self.cuts, strict=True)
        for panel, scale, (left, top), cut in places:
            rows, columns = panel.cine.size
            box = (0, rows, 0, columns)
            picture = draw_frame(panel.cine, panel.readings, index, box, scale)
            whole.paste(picture, (left, top))
            right, bottom = left + picture.width - 1, top + picture.height - 1
            across, down = ((place + 0.5) * side for place, side in zip(cut, scale, strict=True))
            draw.line((left + across, top, left + across, bottom), _LINE)
            draw.line((left, top + down, right, top + down), _LINE)
            draw.text((left + 6, top + 4), panel.title, _TEXT, font, **_EDGE)
        seconds = float(panels[0].cine.times_ms[index]) / 1000
        corner = self.corners[1][0] + 6, self.corners[2][1] + 4
        draw.text(corner, f"volume {index}, {seconds:.2f} s", _TEXT, font)
        return whole


def planes_in_words(panels: Sequence[Panel]) -> str:
    """What the planes are, as one sentence for the report; "" without any."""
    if not panels:
        return ""
    return (
        f"Three planes through volumes of {volume_in_words(panels)} voxels: "
        f"{'; '.join(panel.title for panel in panels)}. The lines show where the others cut."
    )


def volume_in_words(panels: Sequence[Panel]) -> str:
    """Depth, height and width of the volumes that planes were cut from ("48×64×64")."""
    return "×".join(map(str, (panels[1].cine.size[1], *panels[0].cine.size))) if panels else ""
