"""The page of `cineflow bench serve`: does a rate hold, and where does the time go?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cineflow.report.charts import Chart, bars, curve
from cineflow.report.page import render

#: Bars of a chart; each stands for the slowest of its frames.
_BARS = 120


@dataclass(frozen=True, eq=False)
class RateRow:
    """One case.

    Attributes:
        name: Of the case.
        frames: Frames that were measured.
        figures: ms by name: p50, p95, p99, p99.9, max, jitter, and at a server queue, model and
            transport. "dropped" is a number of frames.
        verdict: In words; "" where nothing was paced.
        holds: Whether the rate holds.
        latency_ms: Of each frame, in order.
        period_ms: The deadline; None where nothing was paced.
    """

    name: str
    frames: int
    figures: dict[str, float]
    verdict: str
    holds: bool
    latency_ms: np.ndarray
    period_ms: float | None


def write_rates(
    path: str | Path,
    rows: Sequence[RateRow],
    *,
    model: str,
    facts: Sequence[tuple[str, str]],
    command: str,
) -> Path:
    """Write the page.

    Args:
        path: The .html file to write; its folder is created.
        rows: The cases.
        model: Served name.
        facts: What was measured on what: (name, value).
        command: The line that repeats it.

    Returns:
        `path`.
    """
    return render(
        path,
        "rates.html.j2",
        rows=rows,
        model=model,
        facts=facts,
        command=command,
        charts=[_chart(row) for row in rows],
    )


def _chart(row: RateRow) -> Chart:
    each = row.latency_ms
    size = -(-len(each) // _BARS)
    slowest = np.array([each[k : k + size].max() for k in range(0, len(each), size)])
    caption = f"Each point is the slowest of {size} frames, in their order." if size > 1 else ""
    if row.period_ms is None:
        return curve(f"{row.name}: latency, ms", caption, slowest, unit="ms")
    label = f"deadline {row.period_ms:.1f} ms"
    return bars(f"{row.name}: latency, ms", caption, slowest, row.period_ms, label, "ms")
