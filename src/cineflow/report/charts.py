"""Small line and bar charts as SVG geometry. The template draws them and gives them colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cineflow.report.palette import round_up

WIDTH, HEIGHT = 440, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 26


@dataclass(frozen=True)
class Chart:
    """One chart over the frames of a clip, in the pixels of an SVG view box WIDTH x HEIGHT.

    Attributes:
        title: What is shown, with its unit.
        caption: One sentence below.
        line: Path data of the curve, or "".
        band: Path data of a filled band behind it, or "".
        bars: (x, y, width, height, is_late) of each bar.
        limit: (y, label) of a dashed line across, or None.
        marks: x of the vertical lines where beats begin.
        x_ticks: (x, label).
        y_ticks: (y, label).
        first_x: x of frame 0.
        step_x: Pixels from one frame to the next.
        values: The text that is shown for each frame.
    """

    title: str
    caption: str
    line: str
    band: str
    bars: tuple[tuple[float, float, float, float, bool], ...]
    limit: tuple[float, str] | None
    marks: tuple[float, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    first_x: float
    step_x: float
    values: tuple[str, ...]


def curve(
    title: str,
    caption: str,
    values: np.ndarray,
    *,
    top: float | None = None,
    band: tuple[np.ndarray, np.ndarray] | None = None,
    limit: tuple[float, str] | None = None,
    marks: Sequence[int] = (),
    digits: int = 2,
) -> Chart:
    """A curve over the frames, with an optional (low, high) band, a limit and marked frames.

    NaN (not measured) leaves a gap, and an infinite value is drawn at the top.
    """
    highest = values if band is None else band[1]
    if top is None:
        finite = highest[np.isfinite(highest)]
        highest_line = 0.0 if limit is None else 1.08 * limit[0]
        top = round_up(max(float(finite.max(initial=0.0)), highest_line))
    scale = _Scale(len(values), top)
    band_path = ""
    if band is not None:
        there = scale.path(band[0])
        back = scale.path(band[1])[1:].split("L")[::-1]
        band_path = f"{there}L{'L'.join(back)}Z"
    return Chart(
        title,
        caption,
        line=scale.path(values),
        band=band_path,
        bars=(),
        limit=None if limit is None else (round(scale.y(limit[0]), 2), limit[1]),
        marks=tuple(round(scale.x(frame), 1) for frame in marks),
        x_ticks=scale.x_ticks(),
        y_ticks=scale.y_ticks(),
        first_x=scale.x(0),
        step_x=scale.step,
        values=tuple("–" if np.isnan(value) else f"{value:.{digits}f}" for value in values),
    )


def bars(title: str, caption: str, values: np.ndarray, limit: float, label: str) -> Chart:
    """One bar per frame, and a line at `limit`; bars above it are marked."""
    scale = _Scale(len(values), round_up(max(1.08 * limit, float(values.max()))))
    width = max(1.0, 0.7 * scale.step)
    return Chart(
        title,
        caption,
        line="",
        band="",
        bars=tuple(
            (
                round(scale.x(i) - width / 2, 2),
                round(scale.y(v), 2),
                round(width, 2),
                round(scale.y(0) - scale.y(v), 2),
                bool(v > limit),
            )
            for i, v in enumerate(values)
        ),
        limit=(round(scale.y(limit), 2), label),
        marks=(),
        x_ticks=scale.x_ticks(),
        y_ticks=scale.y_ticks(),
        first_x=scale.x(0),
        step_x=scale.step,
        values=tuple(f"{value:.1f}" for value in values),
    )


class _Scale:
    """Frames and values to SVG pixels."""

    def __init__(self, count: int, top: float) -> None:
        self.count, self.top = count, top
        self.step = (WIDTH - _LEFT - _RIGHT) / count

    def x(self, frame: float) -> float:
        return _LEFT + (frame + 0.5) * self.step

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / self.top

    def path(self, values: Sequence[float] | np.ndarray) -> str:
        """Path data; each gap of NaN starts a new piece."""
        pieces, pen = [], "M"
        for i, value in enumerate(values):
            if np.isnan(value):
                pen = "M"
                continue
            pieces.append(f"{pen}{self.x(i):.1f} {self.y(min(float(value), self.top)):.1f}")
            pen = "L"
        return "".join(pieces)

    def x_ticks(self) -> tuple[tuple[float, str], ...]:
        every = max(1, int(round_up(self.count / 8)))
        return tuple((round(self.x(i), 1), str(i)) for i in range(0, self.count, every))

    def y_ticks(self) -> tuple[tuple[float, str], ...]:
        return tuple((round(self.y(v), 1), f"{v:g}") for v in np.linspace(0, self.top, 5)[::2])
