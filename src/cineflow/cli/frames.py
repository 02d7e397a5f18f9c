"""The frames of a clip as a model sees them, made one at a time.

A model may take other sizes than the clip has, or float32 grey levels of another range. A whole
clip in that form would need up to four times the memory of the clip itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cineflow.spec.feed import GREY


class ModelFrames:
    """A read-only sequence of frames.

    Args:
        stored: Grey levels, uint8 [T, ...].
        fit: From one of them to the model's size, uint8.
        levels: (lowest, highest) grey level of the model's feed.
    """

    def __init__(
        self,
        stored: np.ndarray,
        fit: Callable[[np.ndarray], np.ndarray],
        levels: tuple[float, float],
    ) -> None:
        self._stored, self._fit, self._levels = stored, fit, levels

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: int) -> np.ndarray:
        frame = self._fit(self._stored[index])
        if self._levels == GREY:
            return frame
        low, high = self._levels
        return np.float32(low) + frame.astype(np.float32) * np.float32((high - low) / GREY[1])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))
