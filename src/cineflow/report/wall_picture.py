"""Frames of a clip with the lines of its wall drawn over them, in the clip's own pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from cineflow.cine import Cine
from cineflow.report.movie import WallLine
from cineflow.report.palette import brighten

_OVERSAMPLE = 2  # drawn this much larger and then shrunk, so that thin lines are smooth


def wall_frames(cine: Cine, lines: Sequence[WallLine]) -> Iterator[np.ndarray]:
    """Each frame as it is shown, uint8 [H, W, 3] RGB; nothing outside the sector is kept.

    Lines and markers have the same thickness in every clip, so they grow with the clip's size.
    """
    height, width = cine.size
    thick = max(1.0, min(cine.size) / 240)
    for index, frame in enumerate(cine.frames):
        grey = Image.fromarray(brighten(np.where(cine.sector, frame, np.uint8(0))))
        large = grey.convert("RGB").resize(
            (width * _OVERSAMPLE, height * _OVERSAMPLE), Image.Resampling.BILINEAR
        )
        draw = ImageDraw.Draw(large)
        for line in lines:
            places = [tuple(place) for place in (line.path[index] + 0.5) * _OVERSAMPLE]
            draw.line(places, line.colour, round(1.5 * thick * _OVERSAMPLE), joint="curve")
            if line.dots:
                radius = 2.5 * thick * _OVERSAMPLE
                for x, y in places:
                    draw.ellipse((x - radius, y - radius, x + radius, y + radius), line.colour)
        yield np.where(cine.sector[..., None], np.asarray(large.reduce(_OVERSAMPLE)), np.uint8(0))
