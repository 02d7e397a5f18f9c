"""Small line and bar charts as SVG geometry. The template draws them and gives them colours.

Everything that is written stands outside the area of the curves: ticks and units on the left and
below, phases above. So no label lies over a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cineflow.report.palette import css_colour, round_up

#: Sizes of a chart: one of several in a row, and one that has the row for itself.
SMALL, WIDE = (440, 196), (900, 300)
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 24, 42
#: Labels of phases closer than this are left out; their lines stay.
_LABEL_PX = 26.0


@dataclass(frozen=True)
class Stroke:
    """One curve.

    Attributes:
        path: Path data.
        colour: CSS colour; "" for the page's accent.
        dash: SVG dash pattern; "" for a solid line.
        name: For the key; "" for the only curve.
        heavy: Whether it is drawn thicker than the others.
    """

    path: str
    colour: str = ""
    dash: str = ""
    name: str = ""
    heavy: bool = False


@dataclass(frozen=True)
class Chart:
    """One chart over the frames of a clip, in the pixels of an SVG view box.

    Attributes:
        title: What is shown, with its unit.
        caption: One sentence below.
        unit: Unit of the values ("mm", "%", "0..1").
        size: (width, height) of the view box.
        strokes: The curves.
        band: Path data of a filled band behind them, or "".
        bars: (x, y, width, height, is_late) of each bar.
        limit: (y, label) of a dashed line across, or None. The label stands in the caption.
        marks: (x, label) of the vertical lines at beats and phases; the label may be "".
        shades: (x, width) of the stretches that are not to be trusted.
        zero: y of the value 0 where it lies inside the chart, or None.
        x_ticks: (x, label); frames.
        y_ticks: (y, label).
        first_x: x of frame 0.
        step_x: Pixels from one frame to the next.
        values: The text that is shown for each frame.
    """

    title: str
    caption: str
    unit: str
    size: tuple[int, int]
    strokes: tuple[Stroke, ...]
    band: str
    bars: tuple[tuple[float, float, float, float, bool], ...]
    limit: tuple[float, str] | None
    marks: tuple[tuple[float, str], ...]
    shades: tuple[tuple[float, float], ...]
    zero: float | None
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    first_x: float
    step_x: float
    values: tuple[str, ...]


@dataclass(frozen=True)
class Timeline:
    """What every chart of a clip shows next to its values.

    Attributes:
        marks: (frame, label) of beats and phases ("ED", "ES", or "" for a line alone).
        bad: Frames whose motion is not to be trusted, bool [T]; None for none.
    """

    marks: tuple[tuple[int, str], ...] = ()
    bad: np.ndarray | None = None


def curve(
    title: str,
    caption: str,
    values: np.ndarray,
    *,
    unit: str,
    top: float | None = None,
    band: tuple[np.ndarray, np.ndarray] | None = None,
    limit: tuple[float, str] | None = None,
    timeline: Timeline | None = None,
    digits: int = 2,
) -> Chart:
    """A curve of values >= 0 over the frames, with an optional (low, high) band and a limit.

    NaN (not measured) leaves a gap, and an infinite value is drawn at the top.
    """
    highest = values if band is None else band[1]
    if top is None:
        finite = highest[np.isfinite(highest)]
        highest_line = 0.0 if limit is None else 1.08 * limit[0]
        top = round_up(max(float(finite.max(initial=0.0)), highest_line))
    scale = _Scale(len(values), 0.0, top, SMALL)
    return _chart(
        title,
        caption,
        unit,
        scale,
        strokes=(Stroke(scale.path(values)),),
        band="" if band is None else scale.band(*band),
        limit=limit,
        timeline=timeline or Timeline(),
        values=tuple("–" if np.isnan(value) else f"{value:.{digits}f}" for value in values),
    )


def curves(
    title: str,
    caption: str,
    named: Sequence[tuple[str, np.ndarray]],
    *,
    unit: str,
    limits: tuple[float, float],
    band: tuple[np.ndarray, np.ndarray] | None = None,
    timeline: Timeline | None = None,
    wide: bool = False,
    digits: int = 1,
) -> Chart:
    """Curves of any sign over the frames; the last one is heavier, and its values are shown.

    Args:
        title, caption, unit, band, timeline, digits: As `curve`.
        named: Name and values of each.
        limits: Lowest and highest value of the axis.
        wide: Whether the chart has the row for itself.
    """
    low, high = limits
    scale = _Scale(len(named[0][1]), low, high, WIDE if wide else SMALL)
    last = len(named) - 1
    strokes = tuple(
        Stroke(
            scale.path(values),
            colour=css_colour(index) if index < last else "",
            dash=_DASHES[index // 2 % len(_DASHES)] if index < last else "",
            name=name if last else "",
            heavy=index == last,
        )
        for index, (name, values) in enumerate(named)
    )
    return _chart(
        title,
        caption,
        unit,
        scale,
        strokes=strokes,
        band="" if band is None else scale.band(*band),
        timeline=timeline or Timeline(),
        values=tuple("–" if np.isnan(v) else f"{v:.{digits}f}" for v in named[last][1]),
    )


#: Neighbouring curves also differ in their dashes, for eyes and printers that do not see colours.
_DASHES = ("", "9 4", "3 3")


def bars(
    title: str, caption: str, values: np.ndarray, limit: float, label: str, unit: str
) -> Chart:
    """One bar per frame, and a line at `limit`; bars above it are marked."""
    scale = _Scale(len(values), 0.0, round_up(max(1.08 * limit, float(values.max()))), SMALL)
    width = max(1.0, 0.7 * scale.step)
    rectangles = tuple(
        (
            round(scale.x(i) - width / 2, 2),
            round(scale.y(v), 2),
            round(width, 2),
            round(scale.y(0) - scale.y(v), 2),
            bool(v > limit),
        )
        for i, v in enumerate(values)
    )
    return _chart(
        title,
        caption,
        unit,
        scale,
        bars=rectangles,
        limit=(limit, label),
        timeline=Timeline(),
        values=tuple(f"{value:.1f}" for value in values),
    )


def _chart(
    title: str,
    caption: str,
    unit: str,
    scale: _Scale,
    *,
    strokes: tuple[Stroke, ...] = (),
    band: str = "",
    bars: tuple[tuple[float, float, float, float, bool], ...] = (),
    limit: tuple[float, str] | None = None,
    timeline: Timeline,
    values: tuple[str, ...],
) -> Chart:
    return Chart(
        title,
        caption,
        unit,
        scale.size,
        strokes,
        band,
        bars,
        limit=None if limit is None else (round(scale.y(limit[0]), 2), limit[1]),
        marks=scale.marks(timeline.marks),
        shades=() if timeline.bad is None else scale.shades(timeline.bad),
        zero=round(scale.y(0.0), 1) if scale.low < 0 < scale.high else None,
        x_ticks=scale.x_ticks(),
        y_ticks=scale.y_ticks(),
        first_x=scale.x(0),
        step_x=scale.step,
        values=values,
    )


class _Scale:
    """Frames and values to SVG pixels."""

    def __init__(self, count: int, low: float, high: float, size: tuple[int, int]) -> None:
        self.count, self.low, self.high, self.size = count, low, high, size
        self.step = (size[0] - LEFT - RIGHT) / count

    def x(self, frame: float) -> float:
        return LEFT + (frame + 0.5) * self.step

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.size[1] - BOTTOM - (self.size[1] - TOP - BOTTOM) * share

    def path(self, values: Sequence[float] | np.ndarray) -> str:
        """Path data; each gap of NaN starts a new piece."""
        pieces, pen = [], "M"
        for i, value in enumerate(values):
            if np.isnan(value):
                pen = "M"
                continue
            inside = min(max(float(value), self.low), self.high)
            pieces.append(f"{pen}{self.x(i):.1f} {self.y(inside):.1f}")
            pen = "L"
        return "".join(pieces)

    def band(self, low: np.ndarray, high: np.ndarray) -> str:
        """Path data of the area between two curves; frames without both are left out."""
        pieces = []
        for run in _runs(~(np.isnan(low) | np.isnan(high))):
            there = [f"{self.x(i):.1f} {self.y(self._inside(low[i])):.1f}" for i in run]
            back = [f"{self.x(i):.1f} {self.y(self._inside(high[i])):.1f}" for i in reversed(run)]
            pieces.append(f"M{'L'.join([*there, *back])}Z")
        return "".join(pieces)

    def _inside(self, value: float) -> float:
        return min(max(float(value), self.low), self.high)

    def marks(self, frames: Sequence[tuple[int, str]]) -> tuple[tuple[float, str], ...]:
        found, last = [], -np.inf
        for frame, label in frames:
            x = self.x(frame)
            shown = label if x - last >= _LABEL_PX else ""
            last = x if shown else last
            found.append((round(x, 1), shown))
        return tuple(found)

    def shades(self, bad: np.ndarray) -> tuple[tuple[float, float], ...]:
        return tuple(
            (round(self.x(run[0] - 0.5), 1), round(len(run) * self.step, 1)) for run in _runs(bad)
        )

    def x_ticks(self) -> tuple[tuple[float, str], ...]:
        most = 8 if self.size == SMALL else 16
        every = max(1, int(round_up(self.count / most)))
        return tuple((round(self.x(i), 1), str(i)) for i in range(0, self.count, every))

    def y_ticks(self) -> tuple[tuple[float, str], ...]:
        step = tick_step(self.low, self.high)
        first, last = np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9)
        values = step * np.arange(first, last + 1)
        return tuple((round(self.y(v), 1), f"{v + 0.0:.4g}") for v in values)  # not "-0"


def tick_step(low: float, high: float) -> float:
    """Distance between ticks: 1, 2, 2.5 or 5 times a power of ten, for five steps at most."""
    raw = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    return float(power * next(k for k in (1, 2, 2.5, 5, 10) if k * power >= raw * (1 - 1e-9)))


def _runs(flags: np.ndarray) -> list[range]:
    """Stretches of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [range(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
