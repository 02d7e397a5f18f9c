"""The page of an offline analysis: the cine with its wall, strain, lengths and their quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cineflow.cine import Cine
from cineflow.cine.sector import covers_the_frame
from cineflow.motion.strain_curves import StrainCurves
from cineflow.report.charts import Timeline
from cineflow.report.curves import Curves
from cineflow.report.html import Closure
from cineflow.report.judgement import beginnings, not_trusted, part_charts
from cineflow.report.movie import MOST_FRAMES, WallLine, movie
from cineflow.report.page import Provenance, render
from cineflow.report.palette import CLASS_COLOURS, css_stops
from cineflow.report.readings_page import curve_charts
from cineflow.report.strain_charts import wall_lines
from cineflow.report.strain_section import strain_section
from cineflow.report.trace import Trace
from cineflow.report.trace_charts import trace_charts
from cineflow.report.unit import Unit


def write_analysis_report(
    path: str | Path,
    cine: Cine,
    trace: Trace,
    closure: Closure,
    provenance: Provenance,
    *,
    strain: StrainCurves | None = None,
    no_strain: str = "",
    ventricle: Curves | None = None,
    landmarks: np.ndarray | None = None,
) -> Path:
    """Write the page.

    Args:
        path: The .html file to write; its folder is created.
        cine: The clip, in the pixels of `trace`.
        trace: Its tracked motion, with a result for every frame.
        closure: Loop closure over one beat.
        provenance: What computed the motion.
        strain: Strain of the wall; None without one.
        no_strain: Why there is no strain.
        ventricle: Lengths of a long axis; None where its points were not given.
        landmarks: Those points at every frame, [T, 4, 2] px of the clip.

    Returns:
        `path`.
    """
    unit = Unit.of(cine)
    timeline = _timeline(trace, strain, ventricle)
    lines = [] if strain is None else wall_lines(strain)
    if landmarks is not None:
        lines = [WallLine(landmarks, CLASS_COLOURS[0], dots=True)]
    return render(
        path,
        "analysis.html.j2",
        cine=cine,
        trace=trace,
        closure=closure,
        provenance=provenance,
        unit=unit,
        **strain_section(strain, no_strain, timeline),
        curves=ventricle,
        curve_charts=list(curve_charts(ventricle, timeline.bad)),
        charts=trace_charts(trace, unit, timeline),
        part_charts=part_charts(trace, unit, timeline),
        ramp=css_stops(),
        movie=movie(cine, trace, unit, lines),
        whole_frame=covers_the_frame(cine.sector),
        shown_frames=min(len(cine), MOST_FRAMES),
        bad_frames=int(not_trusted(trace).sum()),
    )


def _timeline(trace: Trace, strain: StrainCurves | None, ventricle: Curves | None) -> Timeline:
    """Phases of the strain or the ventricle; otherwise the beats that the stream found."""
    bad = not_trusted(trace)
    if strain is not None:
        return Timeline(tuple(strain.beats.phases()), bad)
    if ventricle is not None and ventricle.phases is not None:
        phases = ventricle.phases
        return Timeline(
            tuple(sorted([(k, "ED") for k in phases.ed] + [(k, "ES") for k in phases.es])), bad
        )
    return Timeline(beginnings(trace).marks, bad)
