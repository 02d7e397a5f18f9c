"""The data that the page's script animates: pictures, wall points and mesh, as plain JSON."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from cineflow.cine import Cine
from cineflow.cine.sector import sector_box
from cineflow.report.palette import STOPS, brighten, colour_range
from cineflow.report.trace import Trace
from cineflow.report.unit import Unit

#: Most bytes of all pictures, before base64.
_PICTURE_BUDGET = 6_000_000
#: Most frames that the page animates. Of a longer clip it shows the beginning.
MOST_FRAMES = 300
#: Displacement is stored in the page in steps of this many pixels.
_STEP_PX = 1 / 32


@dataclass(frozen=True, eq=False)
class WallLine:
    """A line of the wall that the page draws over the cine.

    Attributes:
        path: Its points at every frame, [T, M, 2] (x, y) px of the clip.
        colour: (red, green, blue).
        dots: Whether each point is marked.
    """

    path: np.ndarray
    colour: tuple[int, int, int]
    dots: bool = False


def movie(cine: Cine, trace: Trace, unit: Unit, wall: Sequence[WallLine] = ()) -> dict[str, Any]:
    """The data for the page's script, in pixels of the frame cropped to its sector."""
    count = min(len(cine), MOST_FRAMES)
    top, bottom, left, right = sector_box(cine.sector)
    offset = np.array([left, top], np.float32)
    shown = unit.length(trace.displacement[:count])[:, trace.shown]
    moved = unit.length(trace.points[:count] - trace.points[:1])
    full, clipped = colour_range(np.concatenate([shown.ravel(), moved.ravel(), [0.0]]))
    steps = np.round(trace.displacement[:count] / _STEP_PX).clip(-32767, 32767).astype("<i2")
    inside = cine.sector[top:bottom, left:right]
    return {
        "size": [right - left, bottom - top],
        "shape": [(right - left) * unit.per_px[0], (bottom - top) * unit.per_px[1]],
        "wall": [
            {
                "points": np.round(line.path[:count] - offset, 2).tolist(),
                "colour": "rgb({} {} {})".format(*line.colour),
                "dots": line.dots,
            }
            for line in wall
        ]
        or None,
        "frames": _encode(cine.frames[:count, top:bottom, left:right], inside),
        "times": np.round(cine.times_ms[:count], 3).tolist(),
        "points": np.round(trace.points[:count] - offset, 2).tolist(),
        "nodes": (trace.nodes - offset).tolist(),
        "shown": trace.shown.astype(int).tolist(),
        "steps": base64.b64encode(steps.tobytes()).decode(),
        "step_px": _STEP_PX,
        "unit": unit.name,
        "per_px": list(unit.per_px),
        "full": full,
        "clipped": clipped,
        "ramp": [list(stop) for stop in STOPS],
        "quality": np.round(trace.quality[:count], 3).tolist(),
        "reference": trace.reference[:count].tolist(),
        "beat": trace.beat[:count].tolist(),
    }


def _encode(frames: np.ndarray, inside: np.ndarray) -> list[str]:
    """Frames uint8 [T, H, W] as JPEG data URIs, with lower quality until they fit the budget.

    Pixels that are not `inside`, bool [H, W], are black.

    JPEG takes a tenth of WebP's time, and for grey frames of a clip only a little more space.
    """
    for quality, share in ((84, 1.0), (70, 1.0), (60, 0.7), (50, 0.5), (40, 0.35)):
        encoded = [_jpeg(brighten(frame * inside), quality, share) for frame in frames]
        if sum(map(len, encoded)) <= _PICTURE_BUDGET:
            break
    return [f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for data in encoded]


def _jpeg(frame: np.ndarray, quality: int, share: float) -> bytes:
    if share < 1:
        size = [max(1, round(side * share)) for side in frame.shape[::-1]]
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done  # a grey picture of these sizes is always encoded
    return data.tobytes()
