"""One colour ramp for displacement, used by the page and the pictures: teal, amber, coral."""

from __future__ import annotations

import numpy as np

#: (position 0..1, red, green, blue). Legible on grey tissue; the ends differ in lightness.
STOPS = ((0.0, 54, 197, 190), (0.5, 255, 209, 102), (1.0, 255, 92, 108))

#: Red, green, blue of classes and points, in turn. The first three are the ramp's.
CLASS_COLOURS = (
    (54, 197, 190),
    (255, 209, 102),
    (255, 92, 108),
    (122, 162, 255),
    (190, 132, 255),
    (126, 217, 87),
)


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
    return levels[frames]


def css_stops() -> str:
    """The ramp as CSS gradient stops."""
    return ", ".join(f"rgb({r} {g} {b}) {position:.0%}" for position, r, g, b in STOPS)


def round_up(value: float) -> float:
    """The next 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten, as the end of a legend or axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if step * power >= value * (1 - 1e-9):
            return float(step * power)
    return float(10 * power)
