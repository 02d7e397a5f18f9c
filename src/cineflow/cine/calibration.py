"""Pixel spacing from a DICOM header, or the reason why lengths stay in pixels.

Ultrasound objects carry one calibration per region of the picture (PS3.3 C.8.5.5). A resized copy
often keeps the regions of its parent. A reader that trusts them gets every length wrong, by a
factor of two in pydicom's `ybr_color` example. Regions that do not fit the pixels are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

_TISSUE = 1  # RegionDataType
_CENTIMETRE = 3  # PhysicalUnitsXDirection: the only code that stands for a length
# A region that covers a smaller share of the sector was calibrated for a different picture.
_LEAST_SECTOR_SHARE = 0.5

Spacing = tuple[float, float] | None


@dataclass(frozen=True)
class _Region:
    """One item of SequenceOfUltrasoundRegions; corners in pixels, inclusive."""

    number: int
    x0: int
    y0: int
    x1: int
    y1: int
    tissue: bool
    spacing_mm: Spacing

    def share_of(self, sector: np.ndarray) -> float:
        inside = sector[self.y0 : self.y1 + 1, self.x0 : self.x1 + 1].sum()
        return float(inside / max(1, sector.sum()))


def pixel_spacing(header: Dataset, sector: np.ndarray) -> tuple[Spacing, str]:
    """Spacing (row_mm, column_mm) of the sector's pixels, and its source.

    Args:
        header: The DICOM object. Its tags are read but not kept.
        sector: Scan sector found in the pixels, bool [H, W].

    Returns:
        (row, column) spacing in mm and its source, or None and the reason.
    """
    items = header.get("SequenceOfUltrasoundRegions")
    if items:
        return _from_regions([_region(i + 1, item) for i, item in enumerate(items)], sector)
    return _from_pixel_spacing(header)


def _from_regions(regions: list[_Region | None], sector: np.ndarray) -> tuple[Spacing, str]:
    rows, columns = sector.shape
    for number, region in enumerate(regions, start=1):
        if region is None:
            return None, f"ultrasound region {number} has no readable location: pixels only"
        # Some vendors store the first pixel after the region as its last, so one more is accepted.
        if not (0 <= region.x0 < region.x1 <= columns and 0 <= region.y0 < region.y1 <= rows):
            return None, (
                f"ultrasound region {number} spans x {region.x0}..{region.x1}, "
                f"y {region.y0}..{region.y1}, outside the {columns}x{rows} pixels: the picture was "
                "resized after calibration, so lengths stay in pixels"
            )
    usable = [r for r in regions if r is not None and r.tissue and r.spacing_mm is not None]
    if not usable:
        return None, "none of the ultrasound regions is calibrated in cm for tissue: pixels only"
    region = max(usable, key=lambda r: r.share_of(sector))
    if region.share_of(sector) < _LEAST_SECTOR_SHARE:
        return None, (
            f"the calibrated region covers {region.share_of(sector):.0%} of the scan sector: it "
            "belongs to a different picture, so lengths stay in pixels"
        )
    several = f", the one of {len(usable)} that covers the sector" if len(usable) > 1 else ""
    return region.spacing_mm, f"SequenceOfUltrasoundRegions, region {region.number}{several}"


def _from_pixel_spacing(header: Dataset) -> tuple[Spacing, str]:
    values = _floats(header.get("PixelSpacing"))
    if len(values) == 2 and all(math.isfinite(v) and v > 0 for v in values):
        return (values[0], values[1]), "PixelSpacing"
    return None, "the file has no calibration: pixels only"


def _region(number: int, item: Dataset) -> _Region | None:
    corners = _floats(
        [
            item.get(keyword)
            for keyword in (
                "RegionLocationMinX0",
                "RegionLocationMinY0",
                "RegionLocationMaxX1",
                "RegionLocationMaxY1",
            )
        ]
    )
    if len(corners) != 4:
        return None
    x0, y0, x1, y1 = (int(value) for value in corners)
    # A delta is negative where the axis points the other way. Its magnitude is the spacing.
    deltas_cm = [abs(v) for v in _floats([item.get("PhysicalDeltaY"), item.get("PhysicalDeltaX")])]
    units = {item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")}
    measured = (
        len(deltas_cm) == 2
        and units == {_CENTIMETRE}
        and all(math.isfinite(v) and v > 0 for v in deltas_cm)
    )
    return _Region(
        number=number,
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        tissue=item.get("RegionDataType") == _TISSUE,
        spacing_mm=(10 * deltas_cm[0], 10 * deltas_cm[1]) if measured else None,
    )


def _floats(values: object) -> list[float]:
    """The numbers in a tag's value; [] if any of them is missing or not a number."""
    try:
        return [float(value) for value in values]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return []
