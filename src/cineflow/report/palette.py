"""The colours of pages and pictures. Each can be told from its neighbours by colour-blind eyes.

Lengths have one ramp, which is perceptually uniform: equal steps of length look like equal steps.
It is the upper part of viridis, whose dark end would be lost on grey tissue. Classes, points and
curves have the colours of Okabe and Ito.

Source:
    viridis: van der Walt and Smith 2015 (matplotlib, CC0). Okabe and Ito 2008, Color Universal
    Design.
"""

from __future__ import annotations

import cv2
import numpy as np

#: (position 0..1, red, green, blue): viridis from 0.40 to 1.
STOPS = (
    (0.0, 42, 120, 142),
    (0.125, 35, 138, 141),
    (0.25, 30, 156, 137),
    (0.375, 40, 174, 128),
    (0.5, 68, 191, 112),
    (0.625, 108, 205, 90),
    (0.75, 155, 217, 60),
    (0.875, 205, 225, 29),
    (1.0, 253, 231, 37),
)

#: Red, green, blue of classes, points and curves, in turn. Okabe and Ito's, without black.
CLASS_COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
    (240, 228, 66),
)


def css_colour(index: int) -> str:
    """The colour of a class or a curve, for a page."""
    red, green, blue = CLASS_COLOURS[index % len(CLASS_COLOURS)]
    return f"rgb({red} {green} {blue})"


def ramp(values: np.ndarray) -> np.ndarray:
    """Colours of values in 0..1 (clipped): uint8 [..., 3] RGB."""
    stops = np.array(STOPS, np.float64)
    channels = [np.interp(values, stops[:, 0], stops[:, 1 + c]) for c in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def colour_range(lengths: np.ndarray) -> tuple[float, bool]:
    """Upper end of the ramp, which covers 96 % of the lengths, and whether a length lies above."""
    full = round_up(float(np.percentile(lengths, 96)))
    return full, bool(lengths.max() > full)


def brighten(frames: np.ndarray) -> np.ndarray:
    """Grey levels uint8 as they are shown. Gamma 0.75 makes dark walls visible on a page."""
    levels = np.round(255 * (np.arange(256) / 255) ** 0.75).astype(np.uint8)
    rows = np.ascontiguousarray(frames).reshape(-1, frames.shape[-1])
    return np.asarray(cv2.LUT(rows, levels)).reshape(frames.shape)


def css_stops() -> str:
    """The ramp as CSS gradient stops."""
    return ", ".join(f"rgb({r} {g} {b}) {position:.1%}" for position, r, g, b in STOPS)


def round_up(value: float) -> float:
    """The next 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten, as the end of a legend or axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if step * power >= value * (1 - 1e-9):
            return float(step * power)
    return float(10 * power)
