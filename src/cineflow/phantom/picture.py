"""Animated previews of phantoms. Volumes show the three planes through the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.cine import Phantom

_WIDTH_PX = 160  # of one plane
_GAP_PX = 4


def planes(frames: np.ndarray, centre: tuple[int, int, int] | None = None) -> np.ndarray:
    """The three orthogonal slices through a point of each volume, side by side, u8 [T, h, w].

    From the left: x-y at the point's slice, z-y at its column, x-z at its row. The second axis of
    each pair points down.

    Args:
        frames: u8 [T, D, H, W].
        centre: (slice, row, column) index; None for the middle.

    Raises:
        ArgumentError: `frames` is not [T, D, H, W], or a point outside it.
    """
    if frames.ndim != 4:
        raise ArgumentError("volumes [T, D, H, W]", f"{list(frames.shape)}")
    size = frames.shape[1:]
    z, y, x = centre or tuple(extent // 2 for extent in size)
    if not all(0 <= index < extent for index, extent in zip((z, y, x), size, strict=True)):
        raise ArgumentError(f"a point inside {list(size)}", f"{centre}")
    views = [frames[:, z], frames[:, :, :, x].transpose(0, 2, 1), frames[:, :, y]]
    height = max(view.shape[1] for view in views)
    parts = []
    for view in views:
        parts.append(np.pad(view, ((0, 0), (0, height - view.shape[1]), (0, 0))))
        parts.append(np.zeros((len(frames), height, _GAP_PX), frames.dtype))
    return np.concatenate(parts[:-1], axis=2)


def write_animation(phantom: Phantom, path: Path) -> None:
    """Writes `.gif` or `.webp` in real time, with up to 25 pictures per second."""
    from PIL import Image

    frames = phantom.frames if phantom.frames.ndim == 3 else planes(phantom.frames)
    step = max(1, round(phantom.beat.frame_rate_hz / 25.0))
    width_px = _WIDTH_PX * (1 if phantom.frames.ndim == 3 else 3)
    scale = width_px / frames.shape[2]
    size = (width_px, max(1, round(frames.shape[1] * scale)))
    pictures = [
        Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames[::step]
    ]
    duration = step * 1000.0 / phantom.beat.frame_rate_hz
    if path.suffix == ".gif":
        pictures = [picture.quantize(32) for picture in pictures]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=round(duration), loop=0
    )
