"""How far to trust the motion, as the page shows it: quality parts, beats and their drift."""

from __future__ import annotations

import numpy as np

from cineflow.report.charts import Chart, curve
from cineflow.report.trace import Trace

#: Title and caption of each part of the quality; the expected error has a chart of its own.
_PART_TITLES = {
    "correlation": (
        "Correlation of the speckle",
        "With the next frame brought back along the flow; four fifths of the tissue are better.",
    ),
    "photometric_px": (
        "Photometric spread, px",
        "What one pixel alone would tell the position by, from residual and gradient.",
    ),
    "deformation": ("Deformation per frame", "Norm of the flow's gradient; nine tenths are below."),
    "appearance": (
        "Change of the picture, grey levels",
        "From what it was over about five frames: shadows, haze, gain and noise.",
    ),
    "temporal_px": ("Change of the flow, px", "Since the pair before, mean over the tissue."),
    "forward_backward_px": ("There and back, px", "How far tissue ends from where it began."),
    "folding_percent": ("Folding, %", "Tissue that the flow turns over: none should be."),
}


def part_charts(trace: Trace) -> list[Chart]:
    """One small chart for each part that was measured at all."""
    return [
        curve(title, caption, trace.parts[name], marks=beginnings(trace))
        for name, (title, caption) in _PART_TITLES.items()
        if not np.isnan(trace.parts[name]).all()
    ]


def beginnings(trace: Trace) -> list[int]:
    """The frames where beats begin; the first frame is none unless a trigger came with it."""
    return [beat.reference for beat in trace.beats if beat.cause != "start"]


def beat_rows(trace: Trace) -> list[dict[str, str]]:
    """The table of beats, in words."""
    rows = []
    for beat in trace.beats:
        delay = beat.first - beat.reference
        notes = [] if beat.rhythm in ("unknown", "regular") else [_RHYTHMS[beat.rhythm]]
        if beat.overdue:
            notes.append("went on for too long: trigger missed or beat not found")
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
    "late": "came more than 20 % late: a beat missed?",
}
