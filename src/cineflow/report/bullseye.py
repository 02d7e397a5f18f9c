"""The bull's eye: one figure for the seventeen AHA segments, apex in the middle, anterior up."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from cineflow.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Inner and outer radius, first segment and number of segments of each ring.
_RINGS = ((0.75, 1.0, 1, 6), (0.5, 0.75, 7, 6), (0.25, 0.5, 13, 4))


def bullseye_png(
    values: np.ndarray,
    label: str,
    *,
    limits: tuple[float, float] | None = None,
    digits: int = 0,
) -> str:
    """A bull's eye as a PNG inside a page; the arguments are those of `bullseye`."""
    file = io.BytesIO()
    figure = bullseye(values, label, limits=limits, digits=digits)
    figure.savefig(file, format="png", dpi=110, bbox_inches="tight", pad_inches=0.05)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def bullseye(
    values: np.ndarray,
    label: str,
    *,
    limits: tuple[float, float] | None = None,
    digits: int = 0,
) -> Figure:
    """Draw one value per segment. A segment without a value (NaN) stays grey.

    Args:
        values: [17], segment k at index k - 1.
        label: What is shown, with its unit and convention ("peak circumferential strain, %,
            Lagrangian").
        limits: Values of the two ends of the colour scale; None for the data's own.
        digits: Of each number, after the decimal point.

    Returns:
        A figure that the caller saves; no display is opened.

    Raises:
        ArgumentError: There are not 17 values, no value is finite, or the limits are out of order.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Wedge
    from matplotlib.ticker import MaxNLocator

    data = np.asarray(values, np.float64)
    if data.shape != (17,) or not np.isfinite(data).any():
        raise ArgumentError("17 values, at least one of them finite", f"{list(data.shape)}")
    low, high = limits or (float(np.nanmin(data)), float(np.nanmax(data)))
    if low > high:
        raise ArgumentError("limits (low, high)", f"{limits}")
    colours = ScalarMappable(Normalize(low, high), colormaps["viridis"])

    figure = Figure(figsize=(4.6, 4.0))
    axes = figure.add_subplot(aspect="equal")
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
    axes.axis("off")

    def segment(number: int, inner: float, outer: float, middle: float, width: float) -> None:
        value = data[number - 1]
        known = bool(np.isfinite(value))
        axes.add_patch(
            Wedge(
                (0, 0), outer, middle - width / 2, middle + width / 2, width=outer - inner,
                facecolor=colours.to_rgba(value) if known else "0.85", edgecolor="white",
            )
        )  # fmt: skip
        radius = 0.0 if inner == 0 else (inner + outer) / 2
        x, y = radius * np.cos(np.deg2rad(middle)), radius * np.sin(np.deg2rad(middle))
        dark = known and (value - low) < 0.6 * (high - low)
        text = f"{value:.{digits}f}" if known else "-"
        axes.text(x, y, text, ha="center", va="center", color="white" if dark else "black", size=9)

    for inner, outer, first, count in _RINGS:
        for k in range(count):
            # Anterior is at the top; the septum follows counterclockwise, on the left.
            segment(first + k, inner, outer, 90.0 + 360.0 / count * k, 360.0 / count)
    segment(17, 0.0, 0.25, 90.0, 360.0)
    ticks = MaxNLocator(integer=True) if digits == 0 else None
    figure.colorbar(colours, ax=axes, label=label, shrink=0.8, ticks=ticks)
    return figure
