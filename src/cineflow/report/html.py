"""The report: one self-contained page with the tracked cine, its curves and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cineflow.cine import Cine
from cineflow.cine.sector import covers_the_frame
from cineflow.motion.closure import BeatPair
from cineflow.report.judgement import beat_rows, beginnings, part_charts
from cineflow.report.latency import Latency
from cineflow.report.latency_chart import latency_chart
from cineflow.report.movie import MOST_FRAMES, movie
from cineflow.report.page import Provenance, render, require_lengths
from cineflow.report.palette import css_stops
from cineflow.report.trace import Trace
from cineflow.report.trace_charts import trace_charts
from cineflow.report.unit import Unit


@dataclass(frozen=True)
class Closure:
    """Loop closure: the mean in px with its beat, or the reason why it was not measured."""

    mean_px: float | None
    beat: BeatPair | None
    reason: str = ""


def write_report(
    path: str | Path,
    cine: Cine,
    trace: Trace,
    latency: Latency,
    closure: Closure,
    provenance: Provenance,
    *,
    fps: float,
    warm_up_frames: int = 0,
) -> Path:
    """Write the page.

    Args:
        path: The .html file to write; its folder is created.
        cine: The clip, in the pixels of `trace`.
        trace: Its tracked motion, with a result for every frame.
        latency: How long each frame took, with the clip paced at its own rate.
        closure: Loop closure over one beat.
        provenance: What computed the motion.
        fps: Frames per second that the same stream sustains unpaced.
        warm_up_frames: Frames that were streamed before the clip and are not counted.

    Returns:
        `path`.

    Raises:
        ArgumentError: Clip, trace and latency differ in length, or `latency` has no frame period.
    """
    period_ms = require_lengths(cine, len(trace.quality), latency)
    unit = Unit.of(cine)
    timeline = beginnings(trace)
    return render(
        path,
        "report.html.j2",
        cine=cine,
        trace=trace,
        latency=latency,
        fps=fps,
        closure=closure,
        provenance=provenance,
        unit=unit,
        charts=[
            *trace_charts(trace, unit, timeline),
            latency_chart(
                latency.each_ms,
                period_ms,
                warm_up_frames,
                "frame 0 is the first and is not tracked",
            ),
        ],
        part_charts=part_charts(trace, unit, timeline),
        beats=beat_rows(trace, unit),
        renewals=[beat for beat in trace.beats if beat.cause != "start"],
        ramp=css_stops(),
        movie=movie(cine, trace, unit),
        whole_frame=covers_the_frame(cine.sector),
        shown_frames=min(len(cine), MOST_FRAMES),
    )
