"""The page's charts of a trace: displacement, quality and expected error."""

from __future__ import annotations

import numpy as np

from cineflow.motion.quality_rule import SUSPECT_PX
from cineflow.report.charts import Chart, Timeline, curve
from cineflow.report.trace import Trace
from cineflow.report.unit import Unit

#: Below every chart with shaded stretches.
SHADED = "Shaded: frames that are not to be trusted."


def trace_charts(trace: Trace, unit: Unit, timeline: Timeline) -> list[Chart]:
    """The charts in the order of the page.

    Args:
        trace: Displacement is shown if it has points, and the expected error if it was measured.
        unit: Of all lengths.
        timeline: Beats or phases, and the frames that are not to be trusted.
    """
    charts = []
    shaded = f" {SHADED}" if timeline.bad is not None and timeline.bad.any() else ""
    if trace.points.shape[1]:
        moved = unit.length(trace.points - trace.points[0])
        low, middle, high = np.percentile(moved, [10, 50, 90], axis=1)
        charts.append(
            curve(
                f"Displacement of the wall points, {unit.name}",
                "Median of the points since the first frame; the band holds 80 % of them." + shaded,
                middle,
                unit=unit.name,
                band=(low, high),
                timeline=timeline,
                digits=1,
            )
        )
    limit = SUSPECT_PX / trace.scale * unit.mean_per_px
    charts.append(
        curve(
            "Quality per frame, 0 to 1",
            "How far to trust each frame's motion, from its expected error: 1 without error, 1/2 "
            f"at {limit:.2g} {unit.name}, the limit that separates failed frames from good ones "
            f"best.{shaded}",
            trace.quality,
            unit="0..1",
            top=1.0,
            timeline=timeline,
        )
    )
    expected = trace.parts["expected_error_px"]
    if not np.isnan(expected).all():
        charts.append(
            curve(
                f"Expected error per frame, {unit.name}",
                "The error of frames like these on phantoms. It is an estimate without labels: it "
                "does not see clutter that stands still, nor motion across the plane." + shaded,
                expected * unit.mean_per_px,
                unit=unit.name,
                limit=(limit, f"suspect from {limit:.2g} {unit.name}"),
                timeline=timeline,
            )
        )
    return charts
