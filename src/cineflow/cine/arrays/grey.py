"""Numbers of any type to grey levels, in two passes that hold one piece at a time."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from cineflow.cine.arrays.numbers import Numbers
from cineflow.errors import ArgumentError

#: BT.601 luma of red, green and blue.
_LUMA = (0.299, 0.587, 0.114)


def grey_of(numbers: Numbers) -> tuple[np.ndarray, list[str]]:
    """The frames as uint8 [T, H, W] or [T, D, H, W], and notes on what was converted.

    uint8 is taken as it is. Other types are scaled from their lowest to their highest value.

    Args:
        numbers: Checked by `Numbers.check`.

    Raises:
        ArgumentError: Levels that are not finite, or all the same.
    """
    notes = []
    if numbers.samples > 1:
        notes.append("Stored in colour (RGB); converted to grey (BT.601 luma).")
    low, high = 0.0, 255.0
    if numbers.dtype != np.uint8:
        low, high = _range(numbers)
        if not np.isfinite(high - low) or high == low:
            raise ArgumentError("finite grey levels that differ", f"{low:g} to {high:g}")
        notes.append(f"Grey levels {low:g}..{high:g} were scaled to 0..255.")
    grey = np.empty(numbers.grey_shape, np.uint8)
    flat, at = grey.reshape(-1), 0
    for piece in _luma(numbers):
        if numbers.dtype != np.uint8:
            # float64: in float32, levels far from 0 would fall together.
            piece = (piece.astype(np.float64) - low) * (255 / (high - low))
            np.rint(piece, out=piece)
        if numbers.fortran:
            places = np.arange(at, at + piece.size)
            grey[np.unravel_index(places, grey.shape, order="F")] = piece
        else:
            flat[at : at + piece.size] = piece
        at += piece.size
    return grey, notes


def _range(numbers: Numbers) -> tuple[float, float]:
    """Lowest and highest value; NaN if there is one."""
    low, high = np.inf, -np.inf
    for piece in _luma(numbers):
        low = float(np.minimum(low, piece.min()))
        high = float(np.maximum(high, piece.max()))
    return low, high


def _luma(numbers: Numbers) -> Iterator[np.ndarray]:
    """One pass over the grey values."""
    samples = numbers.samples
    for piece in numbers.pieces():
        if samples == 1:
            yield piece
        elif piece.dtype == np.uint8:
            rgb = np.ascontiguousarray(piece.reshape(-1, 1, samples)[..., :3])
            yield cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).reshape(-1)
        else:
            yield piece.reshape(-1, samples)[:, :3].astype(np.float64) @ np.array(_LUMA)
