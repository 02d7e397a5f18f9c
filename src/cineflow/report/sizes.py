"""How large a picture is drawn: within limits, in the true shape of what it shows."""

from __future__ import annotations

from dataclasses import dataclass

#: A picture is never higher than this, px. The encoders refuse 16384, and memory goes long before.
MOST_HEIGHT = 720


@dataclass(frozen=True)
class Fit:
    """A picture's size.

    Attributes:
        size: (width, height), px, each 1 or more.
        scale: Pixels of the picture for each of the source, (across, down).
    """

    size: tuple[int, int]
    scale: tuple[float, float]


def fitted(
    rows: int,
    columns: int,
    spacing: tuple[float, float] | None,
    *,
    width: int,
    height: int = MOST_HEIGHT,
) -> Fit:
    """The largest size within `width` x `height` that keeps the shape.

    Args:
        rows, columns: Of the source.
        spacing: (row, column): the shape of a pixel; None for square pixels.
        width, height: Limits, px.
    """
    down, across = spacing or (1.0, 1.0)
    unit = min(width / (columns * across), height / (rows * down))
    size = max(1, round(columns * across * unit)), max(1, round(rows * down * unit))
    return Fit(size, (size[0] / columns, size[1] / rows))
