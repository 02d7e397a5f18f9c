"""An animated picture of a clip with a model's readings: labels as colours, points as paths."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cineflow.cine import Cine
from cineflow.cine.sector import sector_box
from cineflow.report.area_strain import colour_of_strain
from cineflow.report.palette import CLASS_COLOURS, brighten
from cineflow.report.readings import Readings
from cineflow.report.sizes import fitted

#: A longer clip is cut after this many frames.
MOST_FRAMES = 120

_LABEL_OPACITY = 0.38
_TRAIL = 12  # frames of a point's path that are drawn bright
_THICK = 2.0  # px of the picture; lines and markers do not grow with the clip's pixels
_OVERSAMPLE = 2  # drawn this much larger and then shrunk, so that thin lines are smooth


def write_overlay(
    path: str | Path, cine: Cine, readings: Readings, *, width: int = 640, slowdown: float = 2.5
) -> Path:
    """Write an animation of the clip with its readings (.webp or .gif), or one frame (.png).

    Class 0 of the labels is the background and is not coloured.

    Args:
        path: File to write; its folder is created.
        cine: The clip; nothing is drawn outside its sector.
        readings: What the model gave, in the clip's pixels.
        width: Largest width of the picture, px. It is at most `sizes.MOST_HEIGHT` high.
        slowdown: The animation runs this much slower than the clip.

    Returns:
        `path`.
    """
    box = sector_box(cine.sector)
    scale = fitted(box[1] - box[0], box[3] - box[2], cine.spacing_mm, width=width).scale
    count = min(len(cine), MOST_FRAMES)
    indices = [count // 2] if is_still(path) else range(count)
    images = [draw_frame(cine, readings, index, box, scale) for index in indices]
    return save_animation(path, images, cine.times_ms, slowdown)


def save_animation(
    path: str | Path, images: list[Image.Image], times_ms: np.ndarray, slowdown: float
) -> Path:
    """Write pictures as an animation that runs `slowdown` times slower than their times say.

    A .png has the first picture only.

    Returns:
        `path`, whose folder is created.
    """
    durations = [int(slowdown * step) for step in np.diff(times_ms[: len(images)])]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_still(path):
        images[0].save(path)
        return path
    options = {"quality": 72, "method": 3} if path.suffix == ".webp" else {"optimize": True}
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=[*durations, 900],  # rest before the loop starts again
        loop=0,
        **options,
    )
    return path


def is_still(path: str | Path) -> bool:
    """Whether a picture's file holds one frame only."""
    return Path(path).suffix == ".png"


def colour_of(index: int) -> tuple[int, int, int]:
    """The colour of a class or of a point."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def draw_frame(
    cine: Cine,
    readings: Readings,
    index: int,
    box: tuple[int, int, int, int],
    scale: tuple[float, float],
) -> Image.Image:
    """One frame with its readings.

    Args:
        cine: The clip.
        readings: What the model gave, in the clip's pixels.
        index: Of the frame.
        box: What is drawn of it: (top, bottom, left, right) px.
        scale: Pixels of the picture for each of the clip, across and down.
    """
    top, bottom, left, right = box
    grey = brighten(np.where(cine.sector, cine.frames[index], 0))
    picture = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    labels = readings.labels.get(index)
    if labels is not None:
        _colour(picture, labels, cine.sector)
    cropped = np.round(picture[top:bottom, left:right]).astype(np.uint8)
    across, down = scale
    size = (
        _OVERSAMPLE * max(1, round((right - left) * across)),
        _OVERSAMPLE * max(1, round((bottom - top) * down)),
    )
    image = Image.fromarray(cropped).resize(size, Image.Resampling.BICUBIC)
    layer = Image.new("RGBA", size)
    large = _OVERSAMPLE * np.array(scale)
    _draw_points(ImageDraw.Draw(layer), readings, index, np.array([left, top]), large)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB").reduce(_OVERSAMPLE)


def _colour(picture: np.ndarray, labels: np.ndarray, sector: np.ndarray) -> None:
    """Blend each class but 0 over the picture, in place."""
    for label in np.unique(labels).tolist():
        if label:
            inside = (labels == label) & sector
            tint = np.array(colour_of(label), np.float32)
            picture[inside] += _LABEL_OPACITY * (tint - picture[inside])


def _draw_points(
    draw: ImageDraw.ImageDraw, readings: Readings, index: int, offset: np.ndarray, scale: np.ndarray
) -> None:
    """The path of each point up to this frame, and its last place: fainter if it is older."""

    def place(points: np.ndarray) -> np.ndarray:
        return np.asarray((points - offset + 0.5) * scale)

    thin = _OVERSAMPLE * _THICK
    shown = sorted(frame for frame in readings.points if frame <= index)
    named = bool(readings.point_names)
    for before, after in itertools.pairwise(shown):
        fresh = max(0.0, 1 - (index - after) / _TRAIL)
        ends = zip(place(readings.points[before]), place(readings.points[after]), strict=False)
        for k, (start, end) in enumerate(ends):
            colour = (*colour_of(k if named else 0), round(255 * (0.25 + 0.65 * fresh)))
            draw.line((*start, *end), colour, max(1, round(0.8 * thin)))
    if not shown:
        return
    radius = 1.8 * thin
    opacity = 255 if shown[-1] == index else 110  # the last known place, between two results
    strains = readings.strains.get(shown[-1])
    for k, (x, y) in enumerate(place(readings.points[shown[-1]])):
        tint = colour_of(k if named else 0) if strains is None else colour_of_strain(strains[k])
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            fill=(*tint, opacity),
            outline=(0, 0, 0, opacity),
            width=max(1, round(0.4 * thin)),
        )
