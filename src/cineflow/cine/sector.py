"""The scan sector, found in the pixels: where the picture changes from frame to frame.

Scanners burn text, scales and icons around the sector, and those stand still; tissue and the noise
of the receiver never do. A capture card or a codec adds noise to the text, too: change then counts
only above the noise of the quietest part of the frame. No tag is trusted here: regions in a header
are often absent or, after a resize, wrong.
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
# A sector larger than this share leaves no room beside it: text lies in it, not around it.
_WHOLE_SHARE = 0.8
# The quietest part of the frame: its corners lie outside all but a picture that fills the frame.
_QUIET_PERCENT = 5
# Smoothed change counts above this multiple of the quietest part's mean. That part is often black,
# where half of the noise is clipped away; grey text has twice its mean, and a mean of Gaussian
# steps times 1.44 is exceeded in a quarter of them: 2.9, and room above it.
_NOISE_MARGIN = 4.0
# Grey levels of smoothed change; a frame without a quieter part is full of picture, not of noise.
_MOST_NOISE = 1.0
# A sector that fills its bounding box so far may be a whole noisy picture between black bars.
_RECTANGLE_SHARE = 0.95

WHOLE_FRAME_NOTE = (
    "No scan sector was found: the whole frame is kept; text burned into the picture would remain "
    "visible."
)


def find_sector(frames: np.ndarray) -> tuple[np.ndarray, str]:
    """Find the scan sector of a clip.

    The largest connected piece of living pixels, freed of thin attachments (traces, tick marks) by
    a morphological opening and closed to its convex hull: linear, phased and curved-array pictures
    are convex or nearly so, and dark lateral parts belong to the sector.

    Args:
        frames: Grey levels, uint8 [T, H, W].

    Returns:
        The sector, bool [H, W], and a note for the user: "" when the sector was found as it should
        be, and else what text may still be seen or tissue may be lost.
    """
    noise = _noise(frames)
    note = ""
    if noise > 0:
        note = (
            "There is noise beside the sector, too; the sector is where the picture changes more, "
            "and faint tissue at its rim may be left out."
        )
    sector = _largest_piece(_living(frames, noise))
    if sector is None:
        sector = _largest_piece(frames.max(axis=0) > 8)
        note = (
            "Nothing moves in this clip; the sector is the largest bright area instead, and text "
            "burned into it would remain visible."
        )
    if sector is None or covers_the_frame(sector):
        # What such a sector cuts off is no surround: the picture is kept, and that is said.
        return np.ones(frames.shape[1:], bool), WHOLE_FRAME_NOTE
    if not note and _fills_its_box(sector):
        note = (
            "The moving part is a rectangle: a linear array, or a whole picture between bars, in "
            "which burned-in text would remain visible."
        )
    return sector, note


def covers_the_frame(sector: np.ndarray) -> bool:
    """Whether a sector, bool [H, W], is so large that text must lie in it rather than beside it."""
    return bool(sector.mean() > _WHOLE_SHARE)


def sector_box(sector: np.ndarray, margin: int = 6) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a sector, bool [H, W], with a margin, within the frame, px."""
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
    """Mean smoothed change of the quietest part of the frame, grey levels; 0 for a clean clip."""
    total = np.zeros(frames.shape[1:], np.float32)
    for before, after in pairwise(frames):
        total += _smoothed_change(before, after)
    quiet = float(np.percentile(total / (len(frames) - 1), _QUIET_PERCENT))
    return quiet if quiet < _MOST_NOISE else 0.0


def _smoothed_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """|after - before| of the smoothed frames [H, W], grey levels.

    Smoothing comes first: noise is independent from pixel to pixel and averages out, tissue is not.
    """
    side = _brush(before.shape)
    step = cv2.subtract(after, before, dtype=cv2.CV_32F)
    return np.abs(cv2.boxFilter(step, -1, (side, side)))


def _living(frames: np.ndarray, noise: float) -> np.ndarray:
    """Pixels whose neighbourhood changes in at least a quarter of the frame steps, bool [H, W].

    Any change counts in a clip without noise; else smoothed change well above the noise does.
    """
    changes = np.zeros(frames.shape[1:], np.float32)
    for before, after in pairwise(frames):
        if noise > 0:
            changes += _smoothed_change(before, after) > _NOISE_MARGIN * noise
        else:
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
