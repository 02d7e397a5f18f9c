"""Video clips: frames, rate, lengths in pixels, and files that are refused."""

from __future__ import annotations

import os
import struct
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
    TooLargeError,
    TruncatedError,
    UnknownTypeError,
    read_cine,
)
from cineflow.cine.video import decode_video

CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "MJPG"}


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


def retimed(path: Path, steps_ms: list[float]) -> Path:
    """Rewrite the sample table of an .mp4 that has 40 ms per frame: the duration of each frame."""
    data = path.read_bytes()
    at = data.index(b"stts") - 4
    (size,) = struct.unpack(">I", data[at : at + 4])
    (unit,) = struct.unpack(">I", data[at + 20 : at + 24])  # 40 ms in the track's time scale
    table = b"".join(struct.pack(">II", 1, round(step * unit / 40)) for step in steps_ms)
    box = struct.pack(">I4sII", 16 + len(table), b"stts", 0, len(steps_ms)) + table
    made = bytearray(data[:at] + box + data[at + size :])
    edit = made.index(b"edts")
    made[edit : edit + 4] = b"free"  # the edit list would cut the clip to its old duration
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):  # the boxes around it grow
        place = made.index(name) - 4
        (before,) = struct.unpack(">I", made[place : place + 4])
        made[place : place + 4] = struct.pack(">I", before + len(box) - size)
    path.write_bytes(made)
    return path


@pytest.mark.parametrize(
    ("steps", "note"),
    [
        (4 * [20.0, 60.0, 20.0], "gaps in time"),
        (5 * [40.0] + [500.0] + 6 * [40.0], "frames 6 to 7 (500 ms)"),  # a pause
        (11 * [20.0] + [0.0], ""),  # the last frame has no duration
        (5 * [40.0] + [120.0] + 6 * [40.0], "1 gap in time"),  # two frames were lost
        (12 * [40.0], ""),
    ],
)
def test_time_stamps_are_kept_as_they_are(drawn, steps, note, tmp_path: Path) -> None:
    clip = read_cine(retimed(write_video(tmp_path / "clip.mp4", drawn[0]), steps))
    np.testing.assert_allclose(np.diff(clip.times_ms), steps[:-1], atol=0.1)
    said = " ".join(clip.notes)
    assert note in said
    assert ("gap" in said) == bool(note)
    assert bool(clip.gaps.size) == bool(note)


def test_pixels_that_are_not_square_become_square(drawn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", drawn[0])
    data = bytearray(path.read_bytes())
    at = data.index(b"btrt")  # a box of bit rates becomes one of the pixel's width and height
    data[at : at + 16] = b"pasp" + struct.pack(">II", 3, 2) + bytes(4)
    path.write_bytes(data)
    clip = read_cine(path)
    assert clip.frames.shape == (12, 120, 240)
    assert "Pixels are 0.6667 times as high as wide" in " ".join(clip.notes)


def test_a_video_stops_at_the_limit(drawn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", drawn[0])
    assert len(read_cine(path, limit_bytes=12 * 120 * 160)) == 12
    with pytest.raises(TooLargeError):
        read_cine(path, limit_bytes=12 * 120 * 160 - 1)
    with pytest.raises(TooLargeError):
        read_cine(path, limit_bytes=1000)


def test_a_matroska_file_is_read(drawn, tmp_path: Path) -> None:
    assert len(read_cine(write_video(tmp_path / "clip.mkv", drawn[0]))) == 12


def test_a_text_file_cannot_name_other_files(drawn, tmp_path: Path) -> None:
    write_video(tmp_path / "other.mp4", drawn[0])
    text = tmp_path / "clip.avi"
    text.write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(DecodeError, match="of another kind"):
        read_cine(text)
    with pytest.raises(DecodeError, match="cannot be opened"):  # the second lock
        decode_video(text)
    text.write_text("#EXTM3U\n#EXTINF:1,\nother.mp4\n")
    with pytest.raises(DecodeError, match="cannot be opened"):
        decode_video(text, streams=True)


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


def test_one_frame_of_many_is_a_cut_and_no_still(drawn, tmp_path: Path) -> None:
    """A damaged duration in an .mp4 file ends it after the first frame."""
    path = write_video(tmp_path / "clip.mp4", drawn[0])
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 16  # the duration of each frame
    data[at : at + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(TruncatedError, match="12 frames that the container states; got 1"):
        read_cine(path)


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
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="folder"):
        read_cine(tmp_path / "empty")
    picture = tmp_path / "clip.png"
    picture.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UnknownTypeError, match=r"\.png"):
        read_cine(picture)
