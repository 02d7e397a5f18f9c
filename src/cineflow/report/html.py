"""The report: one self-contained page with the tracked cine, its curves and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from cineflow.cine import Cine
from cineflow.cine.sector import covers_the_frame
from cineflow.errors import ArgumentError
from cineflow.motion.closure import BeatPair
from cineflow.report.charts import HEIGHT, WIDTH
from cineflow.report.judgement import beat_rows, part_charts
from cineflow.report.latency import Latency
from cineflow.report.movie import MOST_FRAMES, movie
from cineflow.report.palette import css_stops
from cineflow.report.trace import Trace
from cineflow.report.trace_charts import trace_charts
from cineflow.report.unit import Unit


@dataclass(frozen=True)
class Provenance:
    """What made the motion; every field is shown.

    Attributes:
        model: Name of the model as it was served.
        weights: Where its numbers come from ("none: training-free").
        engine: What executed it.
        server: Name and version of the server ("" when in process).
        transport: How frames travelled.
        software: cineflow's version.
    """

    model: str
    weights: str
    engine: str
    server: str
    transport: str
    software: str


@dataclass(frozen=True)
class Closure:
    """Loop closure: the mean in px with its beat, or the reason why there is none."""

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
) -> Path:
    """Write the page.

    Args:
        path: The .html file to write; its folder is made.
        cine: The clip, in the pixels of `trace`.
        trace: Its tracked motion, a result for every frame.
        latency: How long each frame took.
        closure: Loop closure over one beat.
        provenance: What made it.

    Returns:
        `path`.

    Raises:
        ArgumentError: Clip, trace and latency are not of the same length.
    """
    lengths = {len(cine), len(trace.quality), latency.each_ms.size}
    if len(lengths) > 1:
        raise ArgumentError(
            f"a result and a latency for each of {len(cine)} frames",
            f"{len(trace.quality)} results, {latency.each_ms.size} latencies",
        )
    environment = Environment(
        loader=PackageLoader("cineflow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    unit = Unit.of(cine)
    page = environment.get_template("report.html.j2").render(
        cine=cine,
        trace=trace,
        latency=latency,
        closure=closure,
        provenance=provenance,
        unit=unit,
        charts=trace_charts(trace, latency, unit),
        part_charts=part_charts(trace),
        beats=beat_rows(trace),
        renewals=[beat for beat in trace.beats if beat.cause != "start"],
        chart_size=(WIDTH, HEIGHT),
        ramp=css_stops(),
        movie=movie(cine, trace, unit),
        whole_frame=covers_the_frame(cine.sector),
        shown_frames=min(len(cine), MOST_FRAMES),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
