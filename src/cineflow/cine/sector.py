"""The scan sector, found in the pixels: where the picture changes from frame to frame.

Scanners burn text, scales and icons around the sector, and those stand still; tissue and the noise
of the receiver never do. No tag is trusted here: regions in a header are often absent or, after a
resize, wrong.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

# A pixel is alive when it changes in this share of the frame steps, averaged over its
# neighbourhood. Seen on the pydicom A4C clip: 0.35..1 in the sector, 0..0.05 in the text.
_ALIVE_SHARE = 0.25
# A sector smaller than this share of the frame is no sector (a ticking clock, an ECG trace).
_SMALLEST_SHARE = 0.04


def find_sector(frames: np.ndarray) -> tuple[np.ndarray, str]:
    """Find the scan sector of a clip.

    The largest connected piece of living pixels, freed of thin attachments (traces, tick marks) by
    a morphological opening and closed to its convex hull: linear, phased and curved-array pictures
    are convex or nearly so, and dark lateral parts belong to the sector.

    Args:
        frames: Grey levels, uint8 [T, H, W].

    Returns:
        The sector, bool [H, W], and a note for the user ("" when the sector was found).
    """
    sector = _largest_piece(_living(frames))
    if sector is not None:
        return sector, ""
    sector = _largest_piece(frames.max(axis=0) > 8)
    if sector is not None:
        return sector, "Nothing moves in this clip; the sector is the largest bright area instead."
    return np.ones(frames.shape[1:], bool), "No sector was found; the whole frame is kept."


def _living(frames: np.ndarray) -> np.ndarray:
    """Pixels whose neighbourhood changes in at least a quarter of the frame steps, bool [H, W]."""
    changes = np.zeros(frames.shape[1:], np.float32)
    for before, after in pairwise(frames):
        changes += before != after
    side = _brush(frames.shape[1:])
    share = cv2.boxFilter(changes / (len(frames) - 1), -1, (side, side))
    return np.asarray(share > _ALIVE_SHARE)


def _largest_piece(mask: np.ndarray) -> np.ndarray | None:
    """Convex hull of the largest piece of `mask` [H, W], or None when that is too small."""
    side = 2 * _brush(mask.shape) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, brush)
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    hull = cv2.convexHull(max(outlines, key=cv2.contourArea))
    sector = cv2.fillConvexPoly(np.zeros_like(opened), hull, 1)
    # JPEG blocks on the rim change as a whole, with the marks that stand beside the sector: the
    # rim is given up (not at the frame's own border, where there is nothing beside it).
    sector = cv2.erode(sector, brush).astype(bool)
    return sector if sector.mean() >= _SMALLEST_SHARE else None


def _brush(shape: tuple[int, ...]) -> int:
    """Side of the smoothing window in pixels, odd: 1/60 of the smaller side of the frame."""
    return max(3, round(min(shape) / 60)) | 1
