"""The unit of the lengths that are shown for a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.cine import Cine


@dataclass(frozen=True)
class Unit:
    """Millimetres if the clip is calibrated, else pixels.

    Attributes:
        name: "mm" or "px".
        per_px: Length of a pixel in this unit along (x, y).
    """

    name: str
    per_px: tuple[float, float]

    @classmethod
    def of(cls, cine: Cine) -> Unit:
        """The unit for a clip."""
        if cine.spacing_mm is None:
            return cls("px", (1.0, 1.0))
        return cls("mm", (cine.spacing_mm[1], cine.spacing_mm[0]))

    @property
    def mean_per_px(self) -> float:
        """Length of a pixel in this unit without a direction: the side of a square of its area."""
        return float(np.sqrt(self.per_px[0] * self.per_px[1]))

    def length(self, vectors: np.ndarray) -> np.ndarray:
        """Length of vectors [..., 2] (x, y) px in this unit."""
        return np.asarray(
            np.hypot(vectors[..., 0] * self.per_px[0], vectors[..., 1] * self.per_px[1])
        )
