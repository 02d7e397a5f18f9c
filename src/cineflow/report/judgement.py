"""How far to trust the motion: the page's charts of the quality's parts, and its table of beats."""

from __future__ import annotations

import numpy as np

from cineflow.report.charts import Chart, curve
from cineflow.report.trace import Trace

#: Title and caption of each part of the quality. The expected error has its own chart.
_PART_TITLES = {
    "correlation": (
        "Correlation of the speckle",
        "With the next frame warped back along the flow; 80 % of the tissue is better.",
    ),
    "photometric_px": (
        "Photometric spread, px",
        "Uncertainty of the position from a single pixel, from residual and gradient.",
    ),
    "deformation": (
        "Deformation per frame",
        "Norm of the flow's gradient; 90 % of the tissue is below.",
    ),
    "appearance": (
        "Change of the picture, grey levels",
        "Compared with the last five frames or so: shadows, haze, gain and noise.",
    ),
    "temporal_px": ("Change of the flow, px", "Since the previous pair, mean over the tissue."),
    "forward_backward_px": (
        "There and back, px",
        "Distance from the start after tracking forward and backward.",
    ),
    "folding_percent": ("Folding, %", "Tissue that the flow folds over; it should be 0."),
}


def part_charts(trace: Trace) -> list[Chart]:
    """One small chart for each part that was measured."""
    return [
        curve(title, caption, trace.parts[name], marks=beginnings(trace))
        for name, (title, caption) in _PART_TITLES.items()
        if not np.isnan(trace.parts[name]).all()
    ]


def beginnings(trace: Trace) -> list[int]:
    """The frames where beats begin. The first frame counts only if a trigger came with it."""
    return [beat.reference for beat in trace.beats if beat.cause != "start"]


def beat_rows(trace: Trace) -> list[dict[str, str]]:
    """The table of beats, in words."""
    rows = []
    for beat in trace.beats:
        delay = beat.first - beat.reference
        notes = [] if beat.rhythm in ("unknown", "regular") else [_RHYTHMS[beat.rhythm]]
        if beat.overdue:
            notes.append("lasted too long: a trigger was missed or a beat was not found")
        rows.append(
            {
                "number": str(beat.number),
                "reference": str(beat.reference),
                "cause": _CAUSES[beat.cause] + (f", {delay} frames late" if delay > 0 else ""),
                "drift": "–" if beat.drift_px is None else f"{beat.drift_px:.2f} px",
                "note": "; ".join(notes),
            }
        )
    return rows


_CAUSES = {
    "start": "the stream's first frame",
    "trigger": "R-wave trigger",
    "motion": "end-diastole found in the motion",
}
_RHYTHMS = {
    "early": "came more than 20 % early: ectopic, or a double trigger?",
    "late": "came more than 20 % late: was a beat missed?",
}
