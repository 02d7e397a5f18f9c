"""How far to trust the motion: the page's charts of the quality's parts, and its table of beats."""

from __future__ import annotations

import numpy as np

from cineflow.motion.quality_rule import SUSPECT_PX
from cineflow.report.charts import Chart, Timeline, curve
from cineflow.report.trace import Trace
from cineflow.report.unit import Unit

#: Title, unit and caption of each part of the quality; "length" stands for the page's unit. The
#: expected error has its own chart.
_PART_TITLES = {
    "correlation": (
        "Correlation of the speckle",
        "ratio",
        "With the next frame warped back along the flow; 80 % of the tissue is better.",
    ),
    "photometric_px": (
        "Photometric spread",
        "length",
        "Uncertainty of the position from a single pixel, from residual and gradient.",
    ),
    "deformation": (
        "Deformation per frame",
        "ratio",
        "Norm of the flow's gradient; 90 % of the tissue is below.",
    ),
    "appearance": (
        "Change of the picture",
        "grey levels",
        "Compared with the last five frames or so: shadows, haze, gain and noise.",
    ),
    "temporal_px": (
        "Change of the flow",
        "length",
        "Since the previous pair, mean over the tissue.",
    ),
    "forward_backward_px": (
        "There and back",
        "length",
        "Distance from the start after tracking forward and backward.",
    ),
    "folding_percent": ("Folding", "%", "Tissue that the flow folds over; it should be 0."),
}


def part_charts(trace: Trace, unit: Unit, timeline: Timeline) -> list[Chart]:
    """One small chart for each part that was measured, lengths in the page's unit."""
    charts = []
    for part, (title, kind, caption) in _PART_TITLES.items():
        values = trace.parts[part]
        if np.isnan(values).all():
            continue
        words = unit.name if kind == "length" else kind
        shown = values * unit.mean_per_px if kind == "length" else values
        shown = np.where(shown < 0, 0.0, shown)  # a negative correlation is as bad as none
        name = title if words == "ratio" else f"{title}, {words}"
        charts.append(curve(name, caption, shown, unit=words, timeline=timeline))
    return charts


def beginnings(trace: Trace) -> Timeline:
    """The frames where beats begin. The first frame counts only if a trigger came with it."""
    starts = [(beat.reference, "beat") for beat in trace.beats if beat.cause != "start"]
    return Timeline(tuple(starts), bad=not_trusted(trace))


def not_trusted(trace: Trace) -> np.ndarray:
    """Frames that the page shades, bool [T].

    Their expected error is above the limit that tells failed frames best, or frames are missing
    before them.
    """
    expected = trace.parts["expected_error_px"]
    with np.errstate(invalid="ignore"):
        bad = np.asarray(expected * trace.scale > SUSPECT_PX)
    bad[trace.gaps] = True
    return bad


def beat_rows(trace: Trace, unit: Unit) -> list[dict[str, str]]:
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
                "drift": _drift(beat.drift_px, unit),
                "note": "; ".join(notes),
            }
        )
    return rows


def _drift(drift_px: float | None, unit: Unit) -> str:
    return "–" if drift_px is None else f"{drift_px * unit.mean_per_px:.2f} {unit.name}"


_CAUSES = {
    "start": "the stream's first frame",
    "trigger": "R-wave trigger",
    "motion": "end-diastole found in the motion",
}
_RHYTHMS = {
    "early": "came more than 20 % early: ectopic, or a double trigger?",
    "late": "came more than 20 % late: was a beat missed?",
}
