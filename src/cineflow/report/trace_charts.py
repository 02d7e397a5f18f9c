"""The page's charts of a trace: displacement, quality, expected error and latency."""

from __future__ import annotations

import numpy as np

from cineflow.motion.quality_rule import SUSPECT_PX
from cineflow.report.charts import Chart, curve
from cineflow.report.judgement import beginnings
from cineflow.report.latency_chart import latency_chart
from cineflow.report.trace import Trace
from cineflow.report.unit import Unit


def trace_charts(
    trace: Trace, each_ms: np.ndarray, period_ms: float, warm_up_frames: int, unit: Unit
) -> list[Chart]:
    """The charts in the order of the page.

    Args:
        trace: Displacement is shown if it has points, and the expected error if it was measured.
        each_ms: Latency per frame, [T].
        period_ms: The deadline: time between two frames.
        warm_up_frames: Frames that were streamed before and are not counted.
        unit: Of the displacement.
    """
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
            f"at {SUSPECT_PX:g} px, the limit that separates failed frames from good ones best.",
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
                "The error of frames like these on phantoms, in pixels of the picture that the "
                "model saw. It is an estimate without labels: it does not see clutter that stands "
                "still, nor motion across the plane.",
                expected,
                limit=(SUSPECT_PX, f"suspect from {SUSPECT_PX:g} px"),
                marks=beginnings(trace),
            )
        )
    charts.append(
        latency_chart(each_ms, period_ms, warm_up_frames, "frame 0 is the first and is not tracked")
    )
    return charts
