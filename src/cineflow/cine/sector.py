"""Find the scan sector in the pixels: where the picture changes from frame to frame.

Scanners burn text, scales and icons around the sector. Those stand still; tissue and receiver noise
do not. A capture card or codec also adds noise to the text. Change then counts only above the noise
of the quietest part of the frame. Header tags are not used: the regions are often missing and,
after a resize, wrong.
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
# A sector that fills this share of its bounding box may be a noisy picture between black bars.
_RECTANGLE_SHARE = 0.95

WHOLE_FRAME_NOTE = (
    "No scan sector was found, so the whole frame is kept. Text burned into the picture remains "
    "visible."
)


def find_sector(frames: np.ndarray) -> tuple[np.ndarray, str]:
    """Find the scan sector of a clip.

    The sector is the convex hull of the largest connected group of live pixels. A morphological
    opening first removes thin attachments such as traces and tick marks. The hull is right because
    linear, phased and curved-array pictures are convex or nearly so, and their dark lateral parts
    belong to the sector.

    Args:
        frames: Grey levels, uint8 [T, H, W].

    Returns:
        The sector, bool [H, W], and a note for the user. The note is "" if the sector is certain.
        Otherwise it says which text may remain visible or which tissue may be lost.
    """
    noise = _noise(frames)
    note = ""
    if noise > 0:
        note = (
            "The area around the sector is noisy. The sector is where the picture changes more, "
            "so faint tissue at its rim may be left out."
        )
    sector = _largest_piece(_live(frames, noise))
    if sector is None:
        sector = _largest_piece(frames.max(axis=0) > 8)
        note = (
            "Nothing moves in this clip. The sector is the largest bright area instead, and text "
            "burned into it remains visible."
        )
    if sector is None or covers_the_frame(sector):
        # A sector this large would cut off picture, not the area around it: keep the whole frame.
        return np.ones(frames.shape[1:], bool), WHOLE_FRAME_NOTE
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


def _noise(frames: np.ndarray) -> float:
    """Mean smoothed change of the quietest part of the frame, grey levels; 0 without noise."""
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


def _live(frames: np.ndarray, noise: float) -> np.ndarray:
    """Pixels with a neighbourhood that changes in a quarter or more of the steps, bool [H, W].

    In a clip without noise any change counts. Otherwise smoothed change counts if it is well above
    the noise.
    """
    changes = np.zeros(frames.shape[1:], np.float32)
    for before, after in pairwise(frames):
        if noise > 0:
            changes += _smoothed_change(before, after) > _NOISE_MARGIN * noise
        else:
            changes += before != after
    side = _brush(frames.shape[1:])
    share = cv2.boxFilter(changes / (len(frames) - 1), -1, (side, side))
    return np.asarray(share > _LIVE_SHARE)


def _largest_piece(mask: np.ndarray) -> np.ndarray | None:
    """Convex hull of the largest connected piece of `mask` [H, W]; None if it is too small."""
    side = 2 * _brush(mask.shape) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, brush)
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    hull = cv2.convexHull(max(outlines, key=cv2.contourArea))
    sector = cv2.fillConvexPoly(np.zeros_like(opened), hull, 1)
    # JPEG blocks on the rim change as a whole, including marks just outside the sector, so the rim
    # is removed. At the frame's border nothing lies outside, and erosion leaves it.
    sector = cv2.erode(sector, brush).astype(bool)
    return sector if sector.mean() >= _SMALLEST_SHARE else None


def _brush(shape: tuple[int, ...]) -> int:
    """Side of the smoothing window in pixels, odd: 1/60 of the smaller side of the frame."""
    return max(3, round(min(shape) / 60)) | 1
