"""Checks on a frame before it is sent, so that a bad frame costs no round trip."""

from __future__ import annotations

import numpy as np

from cineflow_client.errors import FrameRejected
from cineflow_client.metadata import ModelInfo


def checked_frame(
    frame: np.ndarray, model: ModelInfo, stream_size: tuple[int, int] | None
) -> np.ndarray:
    """The frame, C-contiguous, if the model and the stream can take it.

    Args:
        frame: Grey levels 0..255, [H, W], uint8 or float32.
        model: The model that will track it.
        stream_size: (H, W) of the stream's frames so far; None before the first.

    Raises:
        FrameRejected: Rank, type or size do not fit, or a value is not finite.
    """
    array = np.asarray(frame)
    if array.ndim != 2:
        raise FrameRejected(
            "a grey frame [H, W]",
            f"{array.dtype} {list(array.shape)}",
            "Convert colour to grey levels, and send one frame per call.",
        )
    if array.dtype not in (np.uint8, np.float32):
        raise FrameRejected(
            "uint8 or float32 grey levels 0..255",
            str(array.dtype),
            "frame.astype(np.float32) keeps the values.",
        )
    size = (array.shape[0], array.shape[1])
    if stream_size is not None and size != stream_size:
        raise FrameRejected(
            f"a frame of {_words(stream_size)} pixels, as the stream's frames before",
            _words(size),
            "After a change of depth or probe, close this stream and open a new one.",
        )
    model.check_size(size)
    if array.dtype == np.float32 and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        y, x = bad[0]
        raise FrameRejected(
            "finite grey levels",
            f"{len(bad)} NaN or infinite values, the first at x {x}, y {y}",
            "Replace them (np.nan_to_num) or leave the frame out.",
        )
    return np.ascontiguousarray(array)


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (height x width)"
