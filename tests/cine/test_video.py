"""Video clips: frames, rate, lengths in pixels, and files that are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cineflow.cine import (
    DecodeError,
    EmptyVideoError,
    MissingFileError,
    SingleFrameError,
    TruncatedError,
    UnknownTypeError,
    read_cine,
)

CODECS = {".avi": "MJPG", ".mp4": "mp4v"}


def write_video(path: Path, frames: np.ndarray, hz: float = 25.0) -> Path:
    height, width = frames.shape[1:]
    codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), codec, hz, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_video_is_read_with_its_rate_and_in_pixels(drawn, tmp_path: Path, suffix: str) -> None:
    frames, wedge = drawn
    clip = read_cine(write_video(tmp_path / f"clip{suffix}", frames))
    assert clip.frames.shape == frames.shape
    assert clip.frame_period_ms == pytest.approx(40.0)
    assert clip.spacing_mm is None
    assert "no calibration" in clip.spacing_reason
    assert any("grey" in note for note in clip.notes)
    inside = wedge & clip.sector
    error = np.abs(clip.frames.astype(int) - frames)[:, inside].mean()
    assert error < 8, f"mean coding error {error:.1f} grey levels"


def test_a_video_without_a_suffix_is_recognised_by_its_bytes(drawn, tmp_path: Path) -> None:
    named = write_video(tmp_path / "clip.mp4", drawn[0])
    bare = named.rename(tmp_path / "clip")
    assert len(read_cine(bare)) == 12


def test_videos_that_are_refused(drawn, tmp_path: Path) -> None:
    frames, _ = drawn
    with pytest.raises(SingleFrameError):
        read_cine(write_video(tmp_path / "one.avi", frames[:1]))
    with pytest.raises((EmptyVideoError, DecodeError)):
        read_cine(write_video(tmp_path / "none.avi", frames[:0]))
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(EmptyVideoError, match="0 bytes"):
        read_cine(empty)
    whole = write_video(tmp_path / "whole.mp4", frames).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DecodeError, match="opened"):
        read_cine(cut)


def test_a_video_that_lost_its_end_is_refused(drawn, tmp_path: Path) -> None:
    frames = np.concatenate([drawn[0]] * 4)
    whole = write_video(tmp_path / "whole.avi", frames).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TruncatedError):
        read_cine(cut)


@pytest.mark.parametrize("level", [None, "16"])
def test_ffmpeg_is_silent_about_damage_unless_the_user_asks(
    drawn, tmp_path: Path, level: str | None
) -> None:
    whole = write_video(tmp_path / "whole.mp4", drawn[0]).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    # In a separate process: FFmpeg reads its level once and bypasses Python's stderr.
    code = (
        "import sys; from cineflow.cine import DecodeError, read_cine\n"
        "try: read_cine(sys.argv[1])\n"
        "except DecodeError: print('refused')"
    )
    unset = ("OPENCV_FFMPEG_LOGLEVEL", "OPENCV_LOG_LEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    if level is not None:
        environment["OPENCV_FFMPEG_LOGLEVEL"] = level
    done = subprocess.run(
        [sys.executable, "-c", code, str(cut)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = done.stdout + done.stderr
    if level is None:
        assert said == "refused\n"
    else:
        assert "moov atom" in said


def test_a_missing_file_a_folder_and_another_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no file"):
        read_cine(tmp_path / "gone.dcm")
    with pytest.raises(MissingFileError, match="folder"):
        read_cine(tmp_path)
    picture = tmp_path / "clip.png"
    picture.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UnknownTypeError, match=r"\.png"):
        read_cine(picture)
