"""Strain as the page shows it: curves with their uncertainty, a table, and lines over the cine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cineflow.motion.strain_curves import StrainCurves
from cineflow.report.charts import Chart, Timeline, curves, tick_step
from cineflow.report.movie import WallLine
from cineflow.report.palette import CLASS_COLOURS
from cineflow.report.scalars import Row
from cineflow.report.trace_charts import SHADED

#: What a convention is called in text.
CONVENTIONS = {
    "lagrangian": "Lagrangian strain (L - L0) / L0",
    "green_lagrange": "Green-Lagrange strain (L²/L0² - 1) / 2",
    "natural": "natural strain ln(L / L0)",
}


@dataclass(frozen=True)
class StrainRow:
    """One line of the table, in percent.

    Attributes:
        part: Name of the part.
        segment: AHA segment, or 0.
        direction: Of the strain.
        value: Strain at end-systole.
        interval: 2 sigma; infinite where the tracking was lost.
        peak: Strain of the largest magnitude in the beat.
        peak_frame: Its frame.
    """

    part: str
    segment: int
    direction: str
    value: float
    interval: float
    peak: float
    peak_frame: int


def strain_table(strain: StrainCurves, beat: int | None = None) -> list[StrainRow]:
    """Every part of one beat, by default of the one with the least uncertainty."""
    beat = strain.shown if beat is None else beat
    frame = strain.phase(beat)
    rows = []
    for index, part in enumerate(strain.parts):
        at, peak = strain.peak(index, beat)
        rows.append(
            StrainRow(
                part.name,
                part.segment,
                part.direction,
                100 * float(strain.strain[index, frame]),
                100 * strain.interval(index, frame),
                100 * peak,
                at,
            )
        )
    return rows


def strain_charts(strain: StrainCurves, timeline: Timeline) -> Iterator[tuple[Chart, list[Chart]]]:
    """For each direction one wide chart of all parts, and one small chart of each with its band."""
    shaded = f" {SHADED}" if timeline.bad is not None and timeline.bad.any() else ""
    since = "end-diastole" if strain.beats.found else "the first frame"
    band = "the band is 2 sigma on either side"
    if not strain.is_judged:
        band = "its uncertainty is not known"
    for direction in strain.directions():
        mine = [k for k, part in enumerate(strain.parts) if part.direction == direction]
        percent = 100 * strain.strain[mine]
        width = 200 * strain.sigma[mine]
        low, high = _limits(percent, width)
        names = [strain.parts[k].name for k in mine]
        title = f"{direction.capitalize()} strain"
        whole = curves(
            f"{title}, %",
            f"Since {since}, all parts; the heavy line is the whole.{shaded}",
            list(zip(names, percent, strict=True)),
            unit="%",
            limits=(low, high),
            timeline=timeline,
            wide=True,
        )
        single = [
            curves(
                f"{name}, %",
                f"{title}; {band}.{shaded}",
                [(name, values)],
                unit="%",
                limits=(low, high),
                band=_band(values, around) if strain.is_judged else None,
                timeline=timeline,
            )
            for name, values, around in zip(names, percent, width, strict=True)
        ]
        yield whole, single


def _limits(percent: np.ndarray, width: np.ndarray) -> tuple[float, float]:
    """Ends of the axis: all strains, and their bands as far as they do not dwarf the strain."""
    known = np.where(np.isfinite(width), width, 0.0)
    most = 2 * np.abs(percent).max(initial=0.5)
    low = float(max((percent - known).min(), -most))
    high = float(min((percent + known).max(), most))
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:  # nothing moved, and nothing is known of the uncertainty
        low, high = -1.0, 1.0
    step = tick_step(low, high)
    return float(step * np.floor(low / step)), float(step * np.ceil(high / step))


def _band(values: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high; the whole height where nothing is known."""
    return values - around, values + around


def wall_lines(strain: StrainCurves) -> list[WallLine]:
    """What the page draws over the cine: the outline of each segment in the colour of its curve."""
    if not strain.wall.outlines:
        return []
    first = strain.directions()[0]
    parts = [part for part in strain.parts if part.direction == first and part.segment]
    lines = []
    for index, part in enumerate(parts):
        outer = dict.fromkeys((0, len(part.lines) - 1))
        lines += [
            WallLine(strain.path[:, part.lines[row]], CLASS_COLOURS[index % len(CLASS_COLOURS)])
            for row in outer
        ]
    return lines


def strain_rows(strain: StrainCurves, times_ms: np.ndarray) -> list[Row]:
    """One row for each frame: reference frame, and strain and uncertainty of each part."""
    rows = []
    for frame, time_ms in enumerate(times_ms):
        row: Row = {
            "frame": frame,
            "time [ms]": float(time_ms),
            "reference frame": int(strain.references[frame]),
        }
        for index, part in enumerate(strain.parts):
            name = f"{part.direction} {part.name}"
            sigma = float(strain.sigma[index, frame])
            row[f"{name} [%]"] = 100 * float(strain.strain[index, frame])
            row[f"{name} 2 sigma [%]"] = 200 * sigma if np.isfinite(sigma) else None
        rows.append(row)
    return rows
