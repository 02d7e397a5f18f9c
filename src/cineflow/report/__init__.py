"""Reports and pictures of tracked motion: self-contained, without the patient's identity."""

from cineflow.report.html import Closure, Provenance, write_report
from cineflow.report.latency import Latency
from cineflow.report.picture import write_picture
from cineflow.report.points import choose_wall_points
from cineflow.report.trace import Trace, TraceRecorder

__all__ = [
    "Closure",
    "Latency",
    "Provenance",
    "Trace",
    "TraceRecorder",
    "choose_wall_points",
    "write_picture",
    "write_report",
]
