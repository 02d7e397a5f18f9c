"""The page's charts of a trace: what moved, how far to trust it, how long it took."""

from __future__ import annotations

import numpy as np

from cineflow.motion.quality_rule import SUSPECT_PX
from cineflow.report.charts import Chart, bars, curve
from cineflow.report.judgement import beginnings
from cineflow.report.latency import Latency
from cineflow.report.trace import Trace
from cineflow.report.unit import Unit


def trace_charts(trace: Trace, latency: Latency, unit: Unit) -> list[Chart]:
    """Displacement (where points were found), quality, expected error (where measured), latency."""
    charts = []
    if trace.points.shape[1]:
        moved = unit.length(trace.points - trace.points[0])
        low, middle, high = np.percentile(moved, [10, 50, 90], axis=1)
        charts.append(
            curve(
                f"Displacement of the wall points, {unit.name}",
                "Median of the points since the first frame; the band holds 80 % of them.",
                middle,
                band=(low, high),
                marks=beginnings(trace),
                digits=1,
            )
        )
    charts.append(
        curve(
            "Quality per frame, 0 to 1",
            "How far to trust each frame's motion, from its expected error: 1 without error, 1/2 "
            f"at {SUSPECT_PX:g} px, which told failed frames from good ones best.",
            trace.quality,
            top=1.0,
            marks=beginnings(trace),
        )
    )
    expected = trace.parts["expected_error_px"]
    if not np.isnan(expected).all():
        charts.append(
            curve(
                "Expected error per frame, px",
                "What frames like these were off by on phantoms, in pixels of the picture that "
                "the model saw. No label is behind it, and clutter that stands still or motion "
                "across the plane escapes it.",
                expected,
                limit=(SUSPECT_PX, f"suspect from {SUSPECT_PX:g} px"),
                marks=beginnings(trace),
            )
        )
    charts.append(
        bars(
            "Latency per frame, ms",
            "From push to result, the clip paced at its own rate. "
            f"{latency.warm_up_frames} warm-up frames went before and are not counted; "
            "frame 0 has none before it and is not tracked.",
            latency.each_ms,
            latency.period_ms,
            f"deadline {latency.period_ms:.1f} ms",
        )
    )
    return charts
