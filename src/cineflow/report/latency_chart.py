"""The chart of latencies, which every page has."""

from __future__ import annotations

import numpy as np

from cineflow.report.charts import Chart, bars


def latency_chart(
    each_ms: np.ndarray, period_ms: float, warm_up_frames: int, note: str = ""
) -> Chart:
    """One bar per frame, and the deadline.

    Args:
        each_ms: Latency per frame, [T].
        period_ms: The deadline: time between two frames.
        warm_up_frames: Frames that were streamed before and are not counted.
        note: Further words for the caption.
    """
    return bars(
        "Latency per frame, ms",
        "From push to result, the clip paced at its own rate. "
        f"{warm_up_frames} warm-up frames were sent before and are not counted"
        f"{'; ' if note else ''}{note}.",
        each_ms,
        period_ms,
        f"deadline {period_ms:.1f} ms",
        "ms",
    )
