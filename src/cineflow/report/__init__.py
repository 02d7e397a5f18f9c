"""Reports and pictures of what a model gave: self-contained, without the patient's identity."""

from cineflow.report.analysis_page import write_analysis_report
from cineflow.report.call_page import write_call_report
from cineflow.report.html import Closure, write_report
from cineflow.report.latency import Latency
from cineflow.report.overlay import write_overlay
from cineflow.report.page import Provenance
from cineflow.report.picture import write_picture
from cineflow.report.places import place_tables
from cineflow.report.planes import Panel, write_planes
from cineflow.report.points import choose_wall_points
from cineflow.report.readings import Readings, ReadingsRecorder, View
from cineflow.report.readings_page import write_readings_report
from cineflow.report.results import ResultFile, write_arrays
from cineflow.report.scalars import Row, numbers_of, scalars_of, score_cells, write_csv
from cineflow.report.trace import Trace, TraceRecorder

__all__ = [
    "Closure",
    "Latency",
    "Panel",
    "Provenance",
    "Readings",
    "ReadingsRecorder",
    "ResultFile",
    "Row",
    "Trace",
    "TraceRecorder",
    "View",
    "choose_wall_points",
    "numbers_of",
    "place_tables",
    "scalars_of",
    "score_cells",
    "write_analysis_report",
    "write_arrays",
    "write_call_report",
    "write_csv",
    "write_overlay",
    "write_picture",
    "write_planes",
    "write_readings_report",
    "write_report",
]
