"""MPEG-2, H.264 and HEVC inside DICOM: the fragments are one video, which FFmpeg decodes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cineflow.cine.dicom.frames import fragments_of
from cineflow.cine.dicom.header import Opened
from cineflow.cine.errors import DecodeError, TooLargeError, TruncatedError
from cineflow.cine.video import Decoded, decode_video
from cineflow.errors import CineError


def read_embedded(opened: Opened, limit_bytes: int | None) -> Decoded:
    """Decode the video that an object encapsulates.

    Raises:
        DecodeError: FFmpeg does not decode it, or it does not fit the tags.
        TruncatedError: It has fewer frames than the tags state.
        TooLargeError: The frames exceed the limit.
    """
    with tempfile.TemporaryDirectory(prefix="cineflow-") as folder:
        path = Path(folder) / "video"
        with path.open("wb") as file:
            for offset, length in fragments_of(opened):
                opened.file.seek(offset)
                left = length
                while left > 0 and (part := opened.file.read(min(left, 1 << 20))):
                    file.write(part)
                    left -= len(part)
        try:
            video = decode_video(path, limit_bytes, streams=True)
        except (TooLargeError, TruncatedError):
            raise
        except CineError as error:
            raise DecodeError(
                "a video that OpenCV's FFmpeg decodes",
                f"{opened.syntax.name} that it does not",
                "Export the clip uncompressed or as JPEG, or give the video as an .mp4 file.",
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    layout = opened.layout
    if video.frames.shape[1:] != (layout.rows, layout.columns):
        rows, columns = video.frames.shape[1:]
        raise DecodeError(
            f"frames of {layout.rows}x{layout.columns}, as tagged",
            f"a video of {rows}x{columns}",
            "The object contradicts itself. Export the clip again.",
        )
    if opened.stated is not None and opened.stated > len(video.frames) + 1:
        raise TruncatedError(
            f"a video of {opened.stated} frames, as tagged",
            f"{len(video.frames)}",
            "The copy is damaged or was cut short. Fetch it again.",
        )
    return video
