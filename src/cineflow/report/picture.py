"""An animated picture of a tracked clip: a mesh that moves with the tissue, and paths of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cineflow.cine import Cine
from cineflow.cine.sector import sector_box
from cineflow.report.overlay import MOST_FRAMES, is_still, save_animation
from cineflow.report.palette import brighten, colour_range, ramp
from cineflow.report.sizes import fitted
from cineflow.report.trace import Trace
from cineflow.report.unit import Unit

_GROUND = (0, 0, 0)
_TEXT = (176, 186, 191)
# Panels are drawn this much larger and then shrunk, so that thin lines are smooth.
_OVERSAMPLE = 2
_BAR = 34  # height of the strip with the legend, px
_SHADES = ramp(np.linspace(0, 1, 64)).tolist()
_LEAST_WIDTH = 400  # px; narrower, the legend would not fit
_MESH_LINE = 2  # px of the oversampled panel. Lines and markers do not grow with the clip's pixels.
_TRAIL = 12  # frames of a point's path that are drawn bright


def write_picture(
    path: str | Path,
    cine: Cine,
    trace: Trace,
    *,
    panel_width: int = 440,
    slowdown: float = 2.5,
    still: int | None = None,
) -> Path:
    """Write an animation of the tracked clip, or one frame (the suffix decides).

    Args:
        path: File to write: .webp or .gif, or .png for one frame.
        cine: The clip; nothing is drawn outside its sector.
        trace: Its tracked motion.
        panel_width: Largest width of each of the two panels, px. They are at most
            `sizes.MOST_HEIGHT` high, and keep the clip's shape.
        slowdown: The animation runs this much slower than the clip.
        still: Frame of a .png; None for the middle one.

    Returns:
        `path`.
    """
    painter = _Painter(cine, trace, panel_width)
    count = min(len(cine), MOST_FRAMES)
    indices = [count // 2 if still is None else still] if is_still(path) else list(range(count))
    images = [painter.frame(index) for index in indices]
    return save_animation(path, images, cine.times_ms, slowdown)


class _Painter:
    """Draws single frames with a common scale of lengths and colours."""

    def __init__(self, cine: Cine, trace: Trace, panel_width: int) -> None:
        self.cine, self.trace = cine, trace
        self.top, self.bottom, self.left, self.right = sector_box(cine.sector)
        unit = Unit.of(cine)
        self.node_length = unit.length(trace.displacement)
        self.point_length = unit.length(trace.points - trace.points[0])
        shown = np.concatenate([self.node_length[:, trace.shown].ravel(), [0.0]])
        self.full, clipped = colour_range(shown)
        self.legend = f"{self.full:g}{'+' if clipped else ''} {unit.name}"
        rows, columns = self.bottom - self.top, self.right - self.left
        fit = fitted(rows, columns, cine.spacing_mm, width=panel_width)
        # A multiple of the oversampling, so that the shrunk panel has whole pixels.
        self.size = fit.size[0] * _OVERSAMPLE, fit.size[1] * _OVERSAMPLE
        self.scale = np.array(fit.scale) * _OVERSAMPLE

    def frame(self, index: int) -> Image.Image:
        """Both panels and the legend of one frame."""
        width, height = (side // _OVERSAMPLE for side in self.size)
        extent = max(2 * width, _LEAST_WIDTH)
        whole = Image.new("RGB", (extent, height + _BAR), _GROUND)
        for column, overlay in enumerate((self._mesh, self._paths)):
            panel = self._picture(index)
            layer = Image.new("RGBA", panel.size)
            overlay(ImageDraw.Draw(layer), index)
            panel = Image.alpha_composite(panel.convert("RGBA"), layer).convert("RGB")
            middle = extent * (2 * column + 1) // 4
            whole.paste(panel.reduce(_OVERSAMPLE), (middle - width // 2, 0))
        self._bar(whole, index, height)
        return whole

    def _picture(self, index: int) -> Image.Image:
        blanked = np.where(self.cine.sector, self.cine.frames[index], 0)
        cropped = brighten(blanked[self.top : self.bottom, self.left : self.right])
        image = Image.fromarray(cropped).resize(self.size, Image.Resampling.BICUBIC)
        return image.convert("RGB")

    def _place(self, points: np.ndarray) -> np.ndarray:
        """Points (x, y) of the clip, in pixels of the oversampled panel."""
        offset = np.array([self.left, self.top])
        return np.asarray((points - offset + 0.5) * self.scale)

    def _colour(self, length: float, alpha: float) -> tuple[int, int, int, int]:
        shade = min(len(_SHADES) - 1, round((len(_SHADES) - 1) * length / self.full))
        red, green, blue = _SHADES[shade]
        return red, green, blue, round(255 * alpha)

    def _mesh(self, draw: ImageDraw.ImageDraw, index: int) -> None:
        nodes = self._place(self.trace.nodes + self.trace.displacement[index])
        length, shown = self.node_length[index], self.trace.shown
        width = _MESH_LINE
        for down, right in ((0, 1), (1, 0)):
            rows, columns = shown.shape
            for row in range(rows - down):
                for column in range(columns - right):
                    other = row + down, column + right
                    if shown[row, column] and shown[other]:
                        mean = (length[row, column] + length[other]) / 2
                        ends = (*nodes[row, column], *nodes[other])
                        draw.line(ends, self._colour(mean, 0.9), width)

    def _paths(self, draw: ImageDraw.ImageDraw, index: int) -> None:
        positions = self._place(self.trace.points)
        for point in range(positions.shape[1]):
            for at in range(1, index + 1):
                fresh = max(0.0, 1 - (index - at) / _TRAIL)
                colour = self._colour(self.point_length[at, point], 0.35 + 0.6 * fresh)
                ends = (*positions[at - 1, point], *positions[at, point])
                draw.line(ends, colour, round(_OVERSAMPLE * (1.2 + 1.2 * fresh)))
            x, y = positions[index, point]
            radius = 3.5 * _OVERSAMPLE
            draw.ellipse(
                (x - radius, y - radius, x + radius, y + radius),
                fill=self._colour(self.point_length[index, point], 1),
                outline=(*_GROUND, 255),
                width=_OVERSAMPLE,
            )

    def _bar(self, image: Image.Image, index: int, top: int) -> None:
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(13)
        width, middle = image.width, top + _BAR // 2 - 2
        seconds = self.cine.times_ms[index] / 1000
        text = f"{seconds:.2f} s   quality {self.trace.quality[index]:.2f}"
        draw.text((14, middle), text, _TEXT, font, anchor="lm")
        draw.text((width - 14, middle), self.legend, _TEXT, font, anchor="rm")
        start = width - 14 - round(font.getlength(self.legend)) - 8 - 130
        colours = ramp(np.linspace(0, 1, 130))
        for offset, colour in enumerate(colours):
            draw.line(
                (start + offset, middle - 3, start + offset, middle + 3), tuple(map(int, colour))
            )
        draw.text((start - 8, middle), "displacement  0", _TEXT, font, anchor="rm")
