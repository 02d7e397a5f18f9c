"""Find the scan sector in the pixels: where the picture changes from frame to frame.

Scanners burn text, scales and icons around the sector. Those stand still; tissue and receiver noise
do not. A capture card or codec also adds noise to the text. Change then counts only above the noise
of the quietest part of the frame. The regions of the header only cut the sector down, because they
are often missing and, after a resize, wrong.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

# A pixel is live when it changes in this share of the frame steps, averaged over its
# neighbourhood. On the pydicom A4C clip: 0.35..1 in the sector, 0..0.05 in the text.
_LIVE_SHARE = 0.25
# A smaller share of the frame is not a sector but, for example, a ticking clock or an ECG trace.
_SMALLEST_SHARE = 0.04
# A larger share leaves no room around the sector, so text must lie inside it.
_WHOLE_SHARE = 0.8
# Percentile that stands for the quietest part of the frame. Unless the picture fills the frame,
# the corners lie outside it.
_QUIET_PERCENT = 5
# Smoothed change counts above this multiple of the quietest part's mean. That part is often black,
# where half of the noise is clipped: grey text has twice its mean. A quarter of Gaussian steps
# exceed 1.44 times their mean. The product is 2.9; the rest is a safety margin.
_NOISE_MARGIN = 4.0
# Grey levels of smoothed change. More than this in the quietest part is picture, not noise.
_MOST_NOISE = 1.0
# A piece of the picture this large, relative to the largest, is also picture: a second plane.
_SECOND_SHARE = 0.4
# Mean grey level above which a pixel next to the picture is text or a mark, not a dark part of it.
_PRINTED_LEVEL = 10.0
# Regions of the header that hold a smaller share of the sector belong to a different picture.
_LEAST_IN_REGIONS = 0.5
# A sector that fills this share of its bounding box may be a noisy picture between black bars.
_RECTANGLE_SHARE = 0.95

WHOLE_FRAME_NOTE = (
    "No scan sector was found, so the whole frame is kept. Text burned into the picture remains "
    "visible."
)


def find_sector(frames: np.ndarray, regions: np.ndarray | None = None) -> tuple[np.ndarray, str]:
    """Find the scan sector of a clip.

    The sector is made of the large connected groups of live pixels: one, or two for a picture of
    two planes. A morphological opening first removes thin attachments such as traces and tick
    marks. Linear, phased and curved-array pictures are nearly convex, and their dark lateral parts
    belong to the sector, so the dark part of each group's convex hull is added. What is bright
    there but does not live is text: a name over a curved array's face, in a notch, or between two
    planes. It stays outside.

    Args:
        frames: Grey levels, uint8 [T, H, W].
        regions: Pixels that the file calls picture, bool [H, W]; None if it does not say.

    Returns:
        The sector, bool [H, W], and a note for the user. The note is "" if the sector is certain.
        Otherwise it says which text may remain visible or which tissue may be lost.
    """
    changes = _changes(frames)
    noise = _noise(frames, changes)
    note = ""
    if noise > 0:
        note = (
            "The area around the sector is noisy. The sector is where the picture changes more, "
            "so faint tissue at its rim may be left out."
        )
    mean = _mean(frames)
    sector = _pieces(_live(frames, changes, noise), mean)
    if sector is None:
        sector = _pieces(frames.max(axis=0) > 8, mean)
        note = (
            "Nothing moves in this clip. The sector is the largest bright area instead, and text "
            "burned into it remains visible."
        )
    if sector is None or covers_the_frame(sector):
        # A sector this large would cut off picture, not the area around it.
        if regions is not None and not covers_the_frame(regions):
            return regions, (
                "The picture fills its region. The sector is the region that the file states. Text "
                "burned into it remains visible."
            )
        return np.ones(frames.shape[1:], bool), WHOLE_FRAME_NOTE
    if regions is not None and (sector & regions).sum() >= _LEAST_IN_REGIONS * sector.sum():
        sector &= regions
    if not note and _fills_its_box(sector):
        note = (
            "The moving part is a rectangle: a linear array, or a whole picture between bars. In "
            "the second case, burned-in text remains visible."
        )
    return sector, note


def covers_the_frame(sector: np.ndarray) -> bool:
    """True if a sector, bool [H, W], is so large that text must lie inside it."""
    return bool(sector.mean() > _WHOLE_SHARE)


def sector_box(sector: np.ndarray, margin: int = 6) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a sector, bool [H, W], plus a margin inside the frame, px."""
    rows, columns = np.nonzero(sector)
    height, width = sector.shape
    return (
        max(0, int(rows.min()) - margin),
        min(height, int(rows.max()) + 1 + margin),
        max(0, int(columns.min()) - margin),
        min(width, int(columns.max()) + 1 + margin),
    )


def _fills_its_box(sector: np.ndarray) -> bool:
    rows, columns = np.nonzero(sector)
    area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    return bool(sector.sum() > _RECTANGLE_SHARE * area)


def _changes(frames: np.ndarray) -> np.ndarray:
    """Share of the frame steps in which pixels change, averaged over their neighbourhood, [H, W].

    It is 0 exactly where nothing in the neighbourhood ever changes.
    """
    count = np.zeros(frames.shape[1:], np.float32)
    for before, after in pairwise(frames):
        cv2.accumulate(cv2.compare(before, after, cv2.CMP_NE), count)
    side = _brush(frames.shape[1:])
    share = cv2.boxFilter(count, cv2.CV_64F, (side, side)) / (255.0 * (len(frames) - 1))
    share[share < 1e-9] = 0  # the running sums of the filter round
    return share


def _mean(frames: np.ndarray) -> np.ndarray:
    """Mean grey level over time, float32 [H, W]."""
    total = np.zeros(frames.shape[1:], np.float32)
    for frame in frames:
        cv2.accumulate(frame, total)
    return total / len(frames)


def _noise(frames: np.ndarray, changes: np.ndarray) -> float:
    """Mean smoothed change of the quietest part of the frame, grey levels; 0 without noise."""
    if np.percentile(changes, _QUIET_PERCENT) == 0:
        return 0.0
    total = np.zeros(frames.shape[1:], np.float32)
    for before, after in pairwise(frames):
        total += _smoothed_change(before, after)
    quiet = float(np.percentile(total / (len(frames) - 1), _QUIET_PERCENT))
    return quiet if quiet < _MOST_NOISE else 0.0


def _smoothed_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """|after - before| of the smoothed frames [H, W], grey levels.

    Smoothing comes first because noise, unlike tissue, is independent between pixels and averages
    out.
    """
    side = _brush(before.shape)
    step = cv2.subtract(after, before, dtype=cv2.CV_32F)
    return np.abs(cv2.boxFilter(step, -1, (side, side)))


def _live(frames: np.ndarray, changes: np.ndarray, noise: float) -> np.ndarray:
    """Pixels with a neighbourhood that changes in a quarter or more of the steps, bool [H, W].

    In a clip without noise any change counts. Otherwise smoothed change counts if it is well above
    the noise.
    """
    if noise == 0:
        return np.asarray(changes > _LIVE_SHARE)
    count = np.zeros(frames.shape[1:], np.float32)
    for before, after in pairwise(frames):
        count += _smoothed_change(before, after) > _NOISE_MARGIN * noise
    side = _brush(frames.shape[1:])
    share = cv2.boxFilter(count / (len(frames) - 1), -1, (side, side))
    return np.asarray(share > _LIVE_SHARE)


def _pieces(mask: np.ndarray, mean: np.ndarray) -> np.ndarray | None:
    """The large connected pieces of `mask` [H, W] with the dark parts of their convex hulls, bool
    [H, W]; None if they are too small.
    """
    side = 2 * _brush(mask.shape) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, brush)
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    areas = [cv2.contourArea(outline) for outline in outlines]
    pieces, hulls = np.zeros_like(opened), np.zeros_like(opened)
    for outline, area in zip(outlines, areas, strict=True):
        if area >= _SECOND_SHARE * max(areas):
            cv2.drawContours(pieces, [outline], -1, 1, cv2.FILLED)
            cv2.fillConvexPoly(hulls, cv2.convexHull(outline), 1)
    # Live pixels at the rim of a piece, which the opening removed, are picture.
    rim = mask & (cv2.dilate(pieces, brush) > 0)
    printed = ((mean > _PRINTED_LEVEL) & (hulls > 0) & (pieces == 0) & ~rim).astype(np.uint8)
    printed = cv2.dilate(printed, brush)  # also the soft edges of letters
    sector = np.where((printed > 0) & (pieces == 0), 0, hulls)
    # JPEG blocks on the rim change as a whole, including marks just outside the sector, so the rim
    # is removed. At the frame's border nothing lies outside, and erosion leaves it.
    sector = cv2.erode(sector, brush).astype(bool)
    return sector if sector.mean() >= _SMALLEST_SHARE else None


def _brush(shape: tuple[int, ...]) -> int:
    """Side of the smoothing window in pixels, odd: 1/60 of the smaller side of the frame."""
    return max(3, round(min(shape) / 60)) | 1
