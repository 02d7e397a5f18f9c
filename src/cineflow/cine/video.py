"""Video files (.mp4, .avi, .mkv) through OpenCV's FFmpeg."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cineflow.cine.assemble import Parts, assemble
from cineflow.cine.clip import Cine
from cineflow.cine.errors import DecodeError, EmptyVideoError, SingleFrameError, TruncatedError
from cineflow.cine.limits import DEFAULT_LIMIT_BYTES, check_size
from cineflow.cine.timing import (
    FALLBACK_HZ,
    LONGEST_MS,
    SHORTEST_MS,
    evenly,
    is_plausible,
    usable_steps,
)

# FFmpeg's AV_LOG_QUIET: no messages about damaged files, for which we raise an error. OpenCV reads
# it when the first capture opens. Levels that the user set are kept.
_QUIET = "-8"
# FFmpeg recognises more than containers. A text file can name other files for it to open, so the
# containers, and reading from the one file, are all that it may do.
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_CONFINED = "protocol_whitelist;file|format_whitelist;mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm{}"
_STREAMS = ",mpegts,mpeg,mpegvideo,h264,hevc"

_LEAST_BUFFER = 16  # frames


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded video.

    Attributes:
        frames: Grey levels, uint8 [T, H, W].
        times_ms: Time of each frame since the first, [T].
        notes: What was converted or assumed.
        aspect: Height of a pixel relative to its width.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    notes: list[str]
    aspect: float


def is_container(start: bytes) -> bool:
    """True for the first bytes of an MP4, AVI or Matroska file."""
    return (
        start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
        or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")
        or start[:4] == b"\x1a\x45\xdf\xa3"
    )


def read_video(path: Path, limit_bytes: int | None = None) -> Cine:
    """Read a video file. Lengths are in pixels: video containers have no calibration.

    Raises:
        DecodeError: The file is not a video container, its codec is not supported, or its index is
            missing (an .mp4 cut short).
        EmptyVideoError: The video has no frames.
        SingleFrameError: The video has a single frame.
        TruncatedError: Fewer frames than the container states.
        TooLargeError: The frames exceed the limit.
    """
    if path.stat().st_size == 0:
        raise EmptyVideoError(
            "a video with frames",
            "a file of 0 bytes",
            "The copy did not finish, or the disk was full. Fetch it again.",
        )
    with path.open("rb") as file:
        if not is_container(file.read(16)):
            raise DecodeError(
                "a video in an MP4, AVI or Matroska container",
                "a file of another kind with a video's name",
                "The copy is damaged, or the file is of another kind. Try: ffmpeg -i CLIP out.mp4.",
            )
    video = decode_video(path, limit_bytes)
    return assemble(
        Parts(
            frames=video.frames,
            times_ms=video.times_ms,
            spacing=lambda sector: (None, "a video file has no calibration: pixels only"),
            notes=video.notes,
            aspect=video.aspect,
        )
    )


def decode_video(path: Path, limit_bytes: int | None = None, streams: bool = False) -> Decoded:
    """Decode a video to grey.

    Args:
        path: The file.
        limit_bytes: Most bytes of grey frames.
        streams: Whether a bare stream without a container is accepted, as DICOM stores it.

    Raises:
        As `read_video`.
    """
    with _confined(streams):
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise DecodeError(
                "a video that FFmpeg decodes",
                "one that cannot be opened",
                "The copy may be cut short, or its codec unknown. Try: ffmpeg -i CLIP out.mp4.",
            )
        stated = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = capture.get(cv2.CAP_PROP_FPS)
        size = [capture.get(key) for key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)]
        aspect = _aspect(capture)
        frames, stamps = _read_all(capture, stated, size, limit_bytes)
    except cv2.error as error:  # its text names files of OpenCV's source, so it is not kept
        raise DecodeError(
            "a video that FFmpeg decodes",
            "frames that OpenCV cannot convert",
            "The copy is damaged. Fetch it again.",
        ) from error
    finally:
        capture.release()
    _check_count(len(frames), stated)
    times_ms, note = _times(stamps, rate)
    notes = ["Video was converted to grey (BT.601 luma).", *([note] if note else [])]
    return Decoded(frames, times_ms, notes, aspect)


@contextmanager
def _confined(streams: bool) -> Iterator[None]:
    """What FFmpeg may open, for the time of opening. OpenCV reads it from the environment."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    if "OPENCV_LOG_LEVEL" not in os.environ:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _QUIET)
    before = os.environ.get(_OPTIONS)
    os.environ[_OPTIONS] = _CONFINED.format(_STREAMS if streams else "")
    try:
        yield
    finally:
        logging.setLogLevel(level)
        if before is None:
            del os.environ[_OPTIONS]
        else:
            os.environ[_OPTIONS] = before


def _read_all(
    capture: cv2.VideoCapture, stated: float, size: list[float], limit_bytes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Grey frames [T, H, W] and their time stamps [T], ms."""
    height, width = (int(side) if math.isfinite(side) else 0 for side in size)
    check_size(1, max(height, 1), max(width, 1), limit_bytes)
    expected = int(stated) if math.isfinite(stated) and stated > 0 else _LEAST_BUFFER
    frames = np.empty((0, 0, 0), np.uint8)
    stamps: list[float] = []
    while True:
        more, frame = capture.read()
        if not more:
            break
        grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        count = len(stamps)
        if count == 0:
            # Memory is taken when it is written, so a false count costs nothing.
            room = max(1, min(expected, _room(grey.shape, limit_bytes)))
            frames = np.empty((room, *grey.shape), np.uint8)
        if grey.shape != frames.shape[1:]:
            raise DecodeError(
                "frames of one size",
                f"frames of {frames.shape[1:]} and of {grey.shape}",
                "Cut the video where its size changes.",
            )
        if count == len(frames):
            check_size(count + 1, grey.shape[0], grey.shape[1], limit_bytes)
            frames.resize((max(_LEAST_BUFFER, count + count // 4), *grey.shape), refcheck=False)
        frames[count] = grey
        stamps.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
    frames.resize((len(stamps), *frames.shape[1:]), refcheck=False)
    return frames, np.array(stamps)


def _room(shape: tuple[int, ...], limit_bytes: int | None) -> int:
    limit = DEFAULT_LIMIT_BYTES if limit_bytes is None else limit_bytes
    return limit // max(1, shape[0] * shape[1])


def _times(stamps: np.ndarray, rate: float) -> tuple[np.ndarray, str]:
    """Times since the first frame, and a note where the time stamps could not be used."""
    steps = np.diff(stamps)
    if usable_steps(steps):
        return stamps - stamps[0], ""
    if math.isfinite(rate) and rate > 0 and is_plausible(1000 / rate):
        return evenly(1000 / rate, len(stamps)), (
            f"The time stamps of the frames do not increase; the rate that the file states "
            f"({rate:.4g} Hz) was used."
        )
    return evenly(1000 / FALLBACK_HZ, len(stamps)), (
        f"The file states no frame rate of {1000 / LONGEST_MS:g} to {1000 / SHORTEST_MS:g} Hz; "
        f"{FALLBACK_HZ:g} Hz was assumed."
    )


def _aspect(capture: cv2.VideoCapture) -> float:
    """Height of a pixel relative to its width: FFmpeg states width to height."""
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    known = all(math.isfinite(side) and side > 0 for side in (width, height))
    return height / width if known else 1.0


def _check_count(found: int, stated: float) -> None:
    if found == 0:
        raise EmptyVideoError(
            "a video with frames", "none", "The file is empty or its codec is not supported."
        )
    # Containers round their count: a few missing frames are not damage.
    if math.isfinite(stated) and found < stated - max(2.0, 0.02 * stated):
        raise TruncatedError(
            f"the {stated:.0f} frames that the container states",
            f"{found}",
            "The copy is damaged or was cut short. Fetch it again.",
        )
    if found == 1:
        raise SingleFrameError(
            "a cine of at least 2 frames", "1 frame", "Export the loop, not a still image."
        )
