"""Stored grey values to grey levels 0..255: sign, rescaling, padding, window, hot pixels.

A table maps every value that a pixel can store, so a deep clip is read in two passes and never held
in more than one byte per pixel: the first pass counts the values, the second looks them up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from cineflow.cine.dicom.header import Layout, contradiction

# A share of pixels this small, far above the rest, is not picture but defective or marked pixels.
_HOT_SHARE = 1e-4
# Values beyond an empty stretch of this share of the range lie far from the rest.
_GAP_SHARE = 0.5

Window = tuple[float, float, str]
"""(centre, width, function) of PS3.3 C.11.2.1.2."""


@dataclass(frozen=True)
class Scale:
    """How the stored values of a frame become values of the modality.

    Attributes:
        slope: RescaleSlope.
        intercept: RescaleIntercept.
    """

    slope: float = 1.0
    intercept: float = 0.0


def scale_of(item: Dataset) -> Scale | None:
    """The rescaling that a header or functional group states, or None.

    Raises:
        DecodeError: Its slope gives every pixel one value.
    """
    slope = item.get("RescaleSlope")
    if slope is None:
        return None
    scale = Scale(float(slope), float(item.get("RescaleIntercept") or 0))
    if scale.slope == 0 or not np.isfinite([scale.slope, scale.intercept]).all():
        raise contradiction(f"a RescaleSlope of {scale.slope:g}, so that all pixels are alike")
    return scale


def codes_of(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Decoded values as unsigned codes 0..2^stored - 1, without overlay bits above or below."""
    shift = layout.high + 1 - layout.stored
    if values.dtype.kind == "u" and shift:
        values = values >> shift
    values = values.view(f"{values.dtype.byteorder}u{values.dtype.itemsize}")
    mask = (1 << layout.stored) - 1
    if values.dtype.kind == "u" and values.dtype.itemsize * 8 == layout.stored:
        return values
    return (values & mask).astype(np.uint8 if layout.stored <= 8 else np.uint16)


def meanings(layout: Layout) -> np.ndarray:
    """The value that each code stands for, int32 [2^stored]."""
    codes = np.arange(1 << layout.stored, dtype=np.int32)
    if layout.signed:
        codes[1 << (layout.stored - 1) :] -= 1 << layout.stored
    return codes


def modality_values(header: Dataset, layout: Layout, scale: Scale | None) -> np.ndarray:
    """Modality values of each code, float64 [2^stored]."""
    values = meanings(layout)
    if scale is None and header.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(values, header), np.float64)
    scale = scale or scale_of(header) or Scale()
    return values * scale.slope + scale.intercept


def padding_of(header: Dataset, layout: Layout) -> np.ndarray:
    """Which codes are padding, bool [2^stored]: PixelPaddingValue, or the range to its limit."""
    values = meanings(layout)
    first = _whole(header.get("PixelPaddingValue"), layout)
    if first is None:
        return np.zeros(values.shape, bool)
    last = _whole(header.get("PixelPaddingRangeLimit"), layout)
    low, high = sorted((first, first if last is None else last))
    return (values >= low) & (values <= high)


def window_of(item: Dataset) -> Window | None:
    """The first window of a header or functional group, if it is usable."""
    try:
        centre, width = (
            float(np.ravel(item.get(keyword))[0]) for keyword in ("WindowCenter", "WindowWidth")
        )
    except (TypeError, ValueError, IndexError):
        return None
    function = str(item.get("VOILUTFunction") or "LINEAR")
    usable = np.isfinite(centre) and np.isfinite(width) and width >= 1
    return (centre, width, function) if usable else None


def windowed(values: np.ndarray, window: Window) -> np.ndarray:
    """Values [...] as levels 0..255 through a window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    centre, width, function = window
    if function == "SIGMOID":
        return np.asarray(255 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -60, 60))))
    if function != "LINEAR_EXACT":
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    return np.clip((values - centre) / width + 0.5, 0, 1) * 255


def looked_up(header: Dataset, layout: Layout) -> np.ndarray | None:
    """Levels 0..255 of each code through the header's VOI LUT, float64 [2^stored], or None."""
    if "VOILUTSequence" not in header:
        return None
    item = header.VOILUTSequence[0]
    bits = int(item.LUTDescriptor[2])
    if not 8 <= bits <= 16:
        return None
    values = apply_modality_lut(meanings(layout), header)
    if values.dtype.kind == "f":
        values = np.rint(values).astype(np.int32)
    return np.asarray(apply_voi(values, header), np.float64) * (255 / ((1 << bits) - 1))


def range_of(values: np.ndarray, counts: np.ndarray) -> tuple[float, float, list[str]]:
    """The values that become black and white, and notes on what was left out.

    Args:
        values: The distinct values that occur, ascending.
        counts: How often each occurs.
    """
    notes = []
    if len(values) > 2:
        # One value far below all others, at the end of the type's range, is padding without a tag.
        if values[1] - values[0] > _GAP_SHARE * (values[-1] - values[0]):
            notes.append(
                f"The value {values[0]:g} lies far below all others; it was taken for padding."
            )
            values, counts = values[1:], counts[1:]
        above = np.cumsum(counts[::-1])[::-1] / counts.sum()
        gaps = np.flatnonzero(np.diff(values) > 0)
        few = [index for index in gaps if above[index + 1] < _HOT_SHARE]
        if few and values[-1] - values[few[0]] > _GAP_SHARE * (values[-1] - values[0]):
            notes.append(
                f"{counts[few[0] + 1 :].sum()} pixels above {values[few[0]]:g}, up to "
                f"{values[-1]:g}, do not set the grey scale."
            )
            values = values[: few[0] + 1]
    return float(values[0]), float(values[-1]), notes


def count_codes(frames: Iterable[np.ndarray], layout: Layout) -> np.ndarray:
    """How often each code occurs, int64 [2^stored]."""
    size = 1 << layout.stored
    total = np.zeros(size, np.int64)
    for frame in frames:
        total += np.bincount(frame.reshape(-1), minlength=size)
    return total


def _whole(value: object, layout: Layout) -> int | None:
    """A padding value as a number; it may have been read as the other sign."""
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return None
    half, size = 1 << (layout.stored - 1), 1 << layout.stored
    if layout.signed and half <= number < size:
        return number - size
    if layout.signed and number >= 1 << (layout.allocated - 1):
        return number - (1 << layout.allocated)
    return number + (1 << layout.allocated) if not layout.signed and number < 0 else number
