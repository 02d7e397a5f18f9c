"""The report of any model: the cine with labels and points over it, curves, a table of numbers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cineflow.cine import Cine
from cineflow.cine.sector import covers_the_frame
from cineflow.motion.strain_curves import StrainCurves
from cineflow.motion.strain_error import INTERVAL
from cineflow.report.area_strain import strain_keys
from cineflow.report.charts import Chart, Timeline, curve
from cineflow.report.curves import Curves
from cineflow.report.latency import Latency
from cineflow.report.latency_chart import latency_chart
from cineflow.report.overlay import MOST_FRAMES, colour_of
from cineflow.report.page import Provenance, render, require_lengths
from cineflow.report.planes import Panel, planes_in_words, volume_in_words
from cineflow.report.readings import Readings
from cineflow.report.scalars import FIRST, Row, columns_of
from cineflow.report.strain_section import strain_section
from cineflow.report.unit import Unit
from cineflow.spec import ModelSpec

#: More curves than this make the page unreadable; the table has all of them.
_MOST_CHARTS = 12


@dataclass(frozen=True)
class ScalarRow:
    """One line of the table of numbers.

    Attributes:
        name: What it is, with its unit.
        frames: Frames that have it.
        figures: First, least, mean, most and last value.
    """

    name: str
    frames: int
    figures: tuple[float, float, float, float, float]


def write_readings_report(
    path: str | Path,
    cine: Cine,
    readings: Readings,
    spec: ModelSpec,
    picture: Path,
    latency: Latency | None,
    provenance: Provenance,
    *,
    fps: float = 0.0,
    warm_up_frames: int = 0,
    panels: Sequence[Panel] = (),
    strain: StrainCurves | None = None,
    no_strain: str = "",
) -> Path:
    """Write the page of a model that is not a tracker of motion.

    Args:
        path: The .html file to write; its folder is created.
        cine: The clip, in the pixels of `readings`.
        readings: What the model gave.
        spec: The model.
        picture: The .webp file of `write_overlay` or `write_planes`; the page holds a copy.
        latency: How long each frame took, with the clip paced at its own rate; None for a clip
            that was not streamed.
        provenance: What computed it.
        fps: Frames per second that the same stream sustains unpaced.
        warm_up_frames: Frames that were streamed before the clip and are not counted.
        panels: Of volumes: the planes of the picture, the one of `cine` first.
        strain: Strain of a wall that was followed; None without one.
        no_strain: Why it was not measured; "" leaves the part out.

    Returns:
        `path`.

    Raises:
        ArgumentError: Clip, readings and latency differ in length, or `latency` has no frame
            period.
    """
    timed = []
    if latency is not None:
        period_ms = require_lengths(cine, len(readings.rows), latency)
        timed.append(latency_chart(latency.each_ms, period_ms, warm_up_frames))
    encoded = base64.b64encode(picture.read_bytes()).decode()
    charts = [*curve_charts(readings.curves), *_charts(readings)][:_MOST_CHARTS]
    marks = () if strain is None else tuple(strain.beats.phases())
    return render(
        path,
        "readings.html.j2",
        **strain_section(strain, no_strain, Timeline(marks)),
        cine=cine,
        spec=spec,
        picture=f"data:image/webp;base64,{encoded}",
        heading="Analysis" if latency is None else provenance.model,
        volume=volume_in_words(panels),
        keys=_keys([panel.readings for panel in panels] or [readings], strain is not None),
        planes=planes_in_words(panels),
        latency=latency,
        fps=fps,
        provenance=provenance,
        scalars=list(_scalars(readings.rows)),
        charts=[*charts, *timed],
        absent=readings.absent,
        curves=readings.curves,
        wall_points=bool(readings.points) and not readings.point_names,
        strains=bool(readings.strains),
        walls=strain is not None and bool(panels),
        unit=Unit.of(cine),
        whole_frame=covers_the_frame(cine.sector),
        shown_frames=min(len(cine), MOST_FRAMES),
    )


def _keys(shown: Sequence[Readings], wall: bool) -> list[tuple[str, tuple[int, int, int]]]:
    """Name and colour of everything that is drawn."""
    keys = []
    readings = shown[0]
    maps = (labels for one in shown for labels in one.labels.values())
    seen = {int(label) for labels in maps for label in np.unique(labels)}
    for label in sorted(seen - {0}):
        named = label < len(readings.classes)
        keys.append((readings.classes[label] if named else f"class {label}", colour_of(label)))
    if any(one.points for one in shown) and not readings.point_names:
        keys.append(("points of the wall" if wall else "paths of points", colour_of(0)))
    if any(one.strains for one in shown):
        keys += strain_keys()
    return keys + [(name, colour_of(k)) for k, name in enumerate(readings.point_names)]


def _scalars(rows: Sequence[Row]) -> Iterator[ScalarRow]:
    for name in columns_of(rows):
        if name in FIRST and name != "quality [0..1]":
            continue
        values = _column(rows, name)
        there = values[~np.isnan(values)]
        if there.size:
            figures = (there[0], there.min(), there.mean(), there.max(), there[-1])
            yield ScalarRow(name, there.size, figures)


def _charts(readings: Readings) -> Iterator[Chart]:
    """A curve of each number that varies and is never negative, which an axis from 0 can show."""
    rows = readings.rows
    for name in columns_of(rows):
        if name in FIRST or (readings.curves is not None and name.startswith("length ")):
            continue
        values = _column(rows, name)
        if np.nanmin(values) >= 0 and np.nanmax(values) > np.nanmin(values):
            yield curve(name, "Of each frame that has it.", values, unit=_unit_of(name))


def curve_charts(curves: Curves | None, bad: np.ndarray | None = None) -> Iterator[Chart]:
    """The lengths of every frame, with end-diastole and end-systole marked.

    Args:
        curves: The lengths.
        bad: Frames whose motion is not to be trusted, bool [T]; None for none.
    """
    if curves is None:
        return
    phases = curves.phases
    caption = "Of each frame that has points."
    marks: list[tuple[int, str]] = []
    if phases is not None:
        marks = sorted([(k, "ED") for k in phases.ed] + [(k, "ES") for k in phases.es])
        caption += f" End-diastole at {_frames(phases.ed)}, end-systole at {_frames(phases.es)}."
    if curves.sigma is not None:
        caption += " The band is 2 sigma on either side."
    for index, name in enumerate(curves.lengths):
        values, band = curves.values[:, index], None
        if curves.sigma is not None:
            around = INTERVAL * curves.sigma[:, index]
            band = np.maximum(values - around, 0.0), values + around
        if np.isfinite(values).any():
            timeline = Timeline(tuple(marks), bad)
            yield curve(name, caption, values, unit=_unit_of(name), band=band, timeline=timeline)


def _unit_of(name: str) -> str:
    """The unit of a column "name [unit]"."""
    return name.rpartition("[")[2].rstrip("]") if name.endswith("]") else ""


def _frames(indices: Sequence[int]) -> str:
    return f"frame{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    cells = [row.get(name) for row in rows]
    return np.array([np.nan if cell is None else cell for cell in cells], np.float64)
