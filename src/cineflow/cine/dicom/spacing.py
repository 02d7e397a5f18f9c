"""Pixel spacing from a DICOM header, or the reason why lengths stay in pixels.

Ultrasound objects carry one calibration per region of the picture (PS3.3 C.8.5.5). A resized copy
often keeps the regions of its parent. A reader that trusts them gets every length wrong, by a
factor of two in pydicom's `ybr_color` example. Regions that do not fit the pixels are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

_PLANE = 1  # RegionSpatialFormat: 2-D, not M-mode, spectral or a curve
_TISSUE, _COLOUR = 1, 2  # RegionDataType
_CENTIMETRE = 3  # PhysicalUnitsXDirection: the only code that stands for a length
# A region that covers a smaller share of the sector was calibrated for a different picture.
_LEAST_SECTOR_SHARE = 0.5
# A second calibration that covers more than this share of the sector makes lengths ambiguous.
_SECOND_SHARE = 0.1

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
    picture: bool
    spacing_mm: Spacing

    def fits(self, rows: int, columns: int) -> bool:
        """Whether it lies inside a picture. Some vendors store the pixel after the region as its
        last, so one more is accepted.
        """
        return 0 <= self.x0 < self.x1 <= columns and 0 <= self.y0 < self.y1 <= rows


def _share(regions: Iterable[_Region], sector: np.ndarray) -> float:
    """Share of the sector that regions cover together."""
    covered = np.zeros_like(sector)
    for region in regions:
        covered[region.y0 : region.y1 + 1, region.x0 : region.x1 + 1] = True
    return float((covered & sector).sum() / max(1, sector.sum()))


def pixel_spacing(header: Dataset, sector: np.ndarray) -> tuple[Spacing, str]:
    """Spacing (row_mm, column_mm) of the sector's pixels, and its source.

    Args:
        header: The DICOM object. Its tags are read but not kept.
        sector: Scan sector found in the pixels, bool [H, W].

    Returns:
        (row, column) spacing in mm and its source, or None and the reason.
    """
    items = _items(header)
    if items:
        return _from_regions([_region(i + 1, item) for i, item in enumerate(items)], sector)
    return _from_pixel_spacing(header)


def _from_regions(regions: list[_Region | None], sector: np.ndarray) -> tuple[Spacing, str]:
    rows, columns = sector.shape
    for number, region in enumerate(regions, start=1):
        if region is None:
            return None, f"ultrasound region {number} has no readable location: pixels only"
        within = max(region.x0, region.x1) <= columns and max(region.y0, region.y1) <= rows
        if within and (region.x1 <= region.x0 or region.y1 <= region.y0):
            return None, (
                f"ultrasound region {number} spans x {region.x0}..{region.x1}, "
                f"y {region.y0}..{region.y1}, which has no area: pixels only"
            )
        if not region.fits(rows, columns):
            return None, (
                f"ultrasound region {number} spans x {region.x0}..{region.x1}, "
                f"y {region.y0}..{region.y1}, outside the {columns}x{rows} pixels: the picture was "
                "resized after calibration, so lengths stay in pixels"
            )
    usable = [r for r in regions if r is not None and r.tissue and r.spacing_mm is not None]
    if not usable:
        return None, "none of the ultrasound regions is calibrated in cm for tissue: pixels only"
    # Regions of one calibration count together: the two planes of a biplane picture have the same.
    groups: dict[Spacing, list[_Region]] = {}
    for region in usable:
        groups.setdefault(region.spacing_mm, []).append(region)
    shares = {spacing: _share(group, sector) for spacing, group in groups.items()}
    chosen = groups[max(shares, key=lambda spacing: shares[spacing])]
    share = max(shares.values())
    if share < _LEAST_SECTOR_SHARE and sum(shares.values()) < _LEAST_SECTOR_SHARE:
        return None, (
            f"the calibrated region covers {share:.0%} of the scan sector: it belongs to a "
            "different picture, so lengths stay in pixels"
        )
    if share < _LEAST_SECTOR_SHARE or sum(s > _SECOND_SHARE for s in shares.values()) > 1:
        return None, "parts of the scan sector have different calibrations: pixels only"
    numbers = " and ".join(str(region.number) for region in chosen)
    several = f", the one of {len(usable)} that covers the sector" if len(groups) > 1 else ""
    plural = "s" if len(chosen) > 1 else ""
    return (
        chosen[0].spacing_mm,
        f"SequenceOfUltrasoundRegions, region{plural} {numbers}{several}",
    )


def picture_regions(header: Dataset, shape: tuple[int, int]) -> np.ndarray | None:
    """Pixels of the 2-D regions that the tags state, bool [H, W]; None if they state none that can
    be trusted.
    """
    rows, columns = shape
    regions = [_region(i + 1, item) for i, item in enumerate(_items(header))]
    if not regions or not all(region is not None and region.fits(*shape) for region in regions):
        return None
    inside = np.zeros(shape, bool)
    for region in regions:
        if region is not None and region.picture:
            inside[
                region.y0 : min(region.y1 + 1, rows), region.x0 : min(region.x1 + 1, columns)
            ] = 1
    return inside if inside.any() else None


def pixel_aspect(header: Dataset) -> float:
    """Height of a pixel relative to its width, from PixelAspectRatio; 1 where it is absent."""
    values = _floats(header.get("PixelAspectRatio"))
    if len(values) != 2 or not all(math.isfinite(v) and v > 0 for v in values):
        return 1.0
    return values[0] / values[1]


def measured_spacing(item: Dataset) -> Spacing:
    """PixelSpacing (row, column) in mm of a header or functional group, or None."""
    values = _floats(item.get("PixelSpacing"))
    if len(values) == 2 and all(math.isfinite(v) and v > 0 for v in values):
        return values[0], values[1]
    return None


def _from_pixel_spacing(header: Dataset) -> tuple[Spacing, str]:
    spacing = measured_spacing(header)
    if spacing is not None:
        return spacing, "PixelSpacing"
    if "ImagerPixelSpacing" in header:
        return None, "the file states the spacing at the detector, not in the body: pixels only"
    return None, "the file has no calibration: pixels only"


def _items(header: Dataset) -> Sequence[Dataset]:
    return header.get("SequenceOfUltrasoundRegions") or []


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
        picture=item.get("RegionSpatialFormat") == _PLANE
        and item.get("RegionDataType") in (_TISSUE, _COLOUR),
        spacing_mm=(10 * deltas_cm[0], 10 * deltas_cm[1]) if measured else None,
    )


def _floats(values: object) -> list[float]:
    """The numbers in a tag's value; [] if any of them is missing or not a number."""
    try:
        return [float(value) for value in values]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return []
