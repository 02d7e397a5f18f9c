"""Video files (.mp4, .avi) through OpenCV."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np

from cineflow.cine.clip import Cine
from cineflow.cine.errors import DecodeError, EmptyVideoError, SingleFrameError, TruncatedError
from cineflow.cine.sector import find_sector
from cineflow.cine.timing import FALLBACK_HZ, LONGEST_MS, SHORTEST_MS, is_plausible

# FFmpeg and OpenCV read these when the first capture opens. They stop messages about damaged files,
# for which we raise an error. -8 is FFmpeg's AV_LOG_QUIET. Values set by the user are kept.
_QUIET = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "SILENT"}


def read_video(path: Path, name: str = "") -> Cine:
    """Read a video file as a `Cine`. Lengths are in pixels: video containers have no calibration.

    Raises:
        DecodeError: The codec is not supported, or the index is missing (an .mp4 cut short).
        EmptyVideoError: The video has no frames.
        SingleFrameError: The video has a single frame.
        TruncatedError: Fewer frames than the container states.
    """
    if path.stat().st_size == 0:
        raise EmptyVideoError(
            "a video with frames",
            "a file of 0 bytes",
            "The copy did not finish, or the disk was full. Fetch it again.",
        )
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise DecodeError(
                "a video that FFmpeg decodes",
                "one that cannot be opened",
                "The copy may be cut short, or its codec unknown. Try: ffmpeg -i CLIP out.mp4.",
            )
        stated = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = capture.get(cv2.CAP_PROP_FPS)
        frames = []
        while True:
            more, frame = capture.read()
            if not more:
                break
            frames.append(frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    finally:
        capture.release()
    _check_count(len(frames), stated)

    notes = ["Video was converted to grey (BT.601 luma)."]
    if not (math.isfinite(rate) and rate > 0 and is_plausible(1000 / rate)):
        rate = FALLBACK_HZ
        notes.append(
            f"The file states no frame rate of {1000 / LONGEST_MS:g} to {1000 / SHORTEST_MS:g} Hz; "
            f"{FALLBACK_HZ:g} Hz was assumed."
        )
    grey = np.stack(frames)
    sector, sector_note = find_sector(grey)
    if sector_note:
        notes.append(sector_note)
    grey[:, ~sector] = 0
    times_ms = np.arange(len(grey)) * (1000 / rate)
    reason = "a video file has no calibration: pixels only"
    return Cine(grey, times_ms, None, reason, sector, tuple(notes), name)


def _check_count(found: int, stated: float) -> None:
    if found == 0:
        raise EmptyVideoError(
            "a video with frames", "none", "The file is empty or its codec is not supported."
        )
    if found == 1:
        raise SingleFrameError(
            "a cine of at least 2 frames", "1 frame", "Export the loop, not a still image."
        )
    # Containers round their count: a few missing frames are not damage.
    if math.isfinite(stated) and found < stated - max(2.0, 0.02 * stated):
        raise TruncatedError(
            f"the {stated:.0f} frames that the container states",
            f"{found}",
            "The copy is damaged or was cut short. Fetch it again.",
        )
