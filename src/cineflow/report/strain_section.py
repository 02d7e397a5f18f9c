"""The part of a page about strain, which the pages of trackers and of other models share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cineflow.motion.strain_curves import StrainCurves
from cineflow.report.bullseye import bullseye_png
from cineflow.report.charts import Timeline
from cineflow.report.strain_charts import CONVENTIONS, strain_charts, strain_table

#: The ends of the bull's eye are multiples of this, percent.
_STEP = 5.0


def strain_section(
    strain: StrainCurves | None, no_strain: str, timeline: Timeline
) -> dict[str, Any]:
    """What the templates strain.html.j2 and strain_reading.html.j2 take.

    Args:
        strain: Strain of the wall; None without one.
        no_strain: Why it was not measured; "" leaves the part out.
        timeline: Phases and bad frames of the charts.
    """
    if strain is None:
        shown: dict[str, Any] = {"rows": [], "strain_charts": [], "bullseyes": []}
        return shown | {"strain": None, "no_strain": no_strain, "convention": "", "judged": False}
    return {
        "strain": strain,
        "no_strain": "",
        "convention": CONVENTIONS[strain.convention],
        "rows": strain_table(strain),
        "strain_charts": list(strain_charts(strain, timeline)),
        "bullseyes": list(_bullseyes(strain)),
        "judged": strain.is_judged,
    }


def _bullseyes(strain: StrainCurves) -> Iterator[tuple[str, str]]:
    """Caption and picture of each direction that has AHA segments."""
    frame = strain.phase(strain.shown)
    for direction in strain.directions():
        values = 100 * strain.segments(direction, frame)
        if np.isfinite(values).any():
            label = f"{direction} strain at frame {frame}, %"
            picture = bullseye_png(values, label, limits=_from_zero(values))
            yield f"{direction.capitalize()} strain at {strain.phase_name(strain.shown)}", picture


def _from_zero(values: np.ndarray) -> tuple[float, float]:
    """Ends of the colours: zero and the largest, to 5 %, so that small differences look small."""
    low = min(0.0, _STEP * float(np.floor(np.nanmin(values) / _STEP)))
    high = max(0.0, _STEP * float(np.ceil(np.nanmax(values) / _STEP)))
    return (low, high) if low < high else (-_STEP, 0.0)
