"""Resize and pad a clip for a model, and map points and motion back to the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from cineflow.cine.clip import Cine
from cineflow.errors import ArgumentError
from cineflow.spec import Axis


@dataclass(frozen=True)
class Geometry:
    """The map from a source picture to a model's: resized, then padded on the right and below.

    Pixel centres are integers in both, so a source point p maps to `(p + 1/2) * scale - 1/2`.

    Attributes:
        source: (height, width) of the source picture.
        content: (height, width) of the resized picture inside the model's.
        model: (height, width) of the model's picture.
    """

    source: tuple[int, int]
    content: tuple[int, int]
    model: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels per source pixel, (y, x). Rounding to whole pixels makes them differ."""
        return self.content[0] / self.source[0], self.content[1] / self.source[1]

    @property
    def is_identity(self) -> bool:
        """True if the picture was neither resized nor padded."""
        return self.source == self.model

    def points_to_model(self, points: np.ndarray) -> np.ndarray:
        """Source points [..., 2] (x, y) in px to model points."""
        return (np.asarray(points, np.float64) + 0.5) * self.scale[::-1] - 0.5

    def points_to_source(self, points: np.ndarray) -> np.ndarray:
        """Model points [..., 2] (x, y) in px to source points."""
        return (np.asarray(points, np.float64) + 0.5) / self.scale[::-1] - 0.5

    def field_to_source(self, field: np.ndarray) -> np.ndarray:
        """Resample a vector field of the model on the source's grid.

        Args:
            field: [2, H', W'], model pixels.

        Returns:
            float32 [2, H, W], source pixels.

        Raises:
            ArgumentError: The field does not have the model's size.
        """
        if field.shape != (2, *self.model):
            raise ArgumentError(f"a field [2, {self.model[0]}, {self.model[1]}]", str(field.shape))
        inside = np.asarray(field[:, : self.content[0], : self.content[1]], np.float32)
        if self.content != self.source:
            height, width = self.source
            size = (width, height)
            inside = np.stack([cv2.resize(c, size, interpolation=cv2.INTER_LINEAR) for c in inside])
        y, x = self.scale
        return inside / np.array([x, y], np.float32)[:, None, None]


def fit_to(cine: Cine, axes: Sequence[Axis | int]) -> tuple[Cine, Geometry]:
    """Resize and pad a clip to a size that a model accepts.

    A clip that only misses the axes' multiple or one minimum is padded and not resampled. A clip
    that is too large shrinks. One that is too small in both directions grows. Height and width
    share one scale.

    Args:
        cine: The clip.
        axes: The model's (height, width). An integer is a fixed size.

    Returns:
        The fitted clip, with a note of what was done, and the geometry that maps results back.

    Raises:
        ArgumentError: Not two axes, or limits that exclude every size.
    """
    if len(axes) != 2:
        raise ArgumentError("the two axes (height, width)", f"{len(axes)} axes")
    limits = [axis if isinstance(axis, Axis) else Axis("fixed", axis, axis) for axis in axes]
    largest = [axis.maximum // axis.multiple * axis.multiple for axis in limits]
    smallest = [-(-axis.minimum // axis.multiple) * axis.multiple for axis in limits]
    if any(low > high for low, high in zip(smallest, largest, strict=True)):
        raise ArgumentError(
            "axes that accept at least one size", " x ".join(a.describe() for a in limits)
        )

    shrink = min(high / size for high, size in zip(largest, cine.size, strict=True))
    grow = min(low / size for low, size in zip(smallest, cine.size, strict=True))
    scale = shrink if shrink < 1 else max(grow, 1.0)
    content = [
        min(high, max(1, round(size * scale)))
        for size, high in zip(cine.size, largest, strict=True)
    ]
    model = [
        max(low, -(-size // axis.multiple) * axis.multiple)
        for size, axis, low in zip(content, limits, smallest, strict=True)
    ]
    geometry = Geometry(cine.size, (content[0], content[1]), (model[0], model[1]))
    return (cine, geometry) if geometry.is_identity else (_fitted(cine, geometry), geometry)


def _fitted(cine: Cine, geometry: Geometry) -> Cine:
    (height, width), (scale_y, scale_x) = geometry.content, geometry.scale
    shrinks = scale_y < 1 or scale_x < 1
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    frames = np.zeros((len(cine), *geometry.model), np.uint8)
    for target, frame in zip(frames, cine.frames, strict=True):
        target[:height, :width] = cv2.resize(frame, (width, height), interpolation=way)
    sector = np.zeros(geometry.model, bool)
    sector[:height, :width] = cv2.resize(
        cine.sector.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    ).astype(bool)
    spacing = cine.spacing_mm
    return replace(
        cine,
        frames=frames,
        sector=sector,
        spacing_mm=None if spacing is None else (spacing[0] / scale_y, spacing[1] / scale_x),
        notes=(*cine.notes, _describe(geometry)),
    )


def _describe(geometry: Geometry) -> str:
    steps = []
    if geometry.content != geometry.source:
        steps.append(f"resized to {geometry.content[0]}x{geometry.content[1]}")
    if geometry.content != geometry.model:
        steps.append(f"padded to {geometry.model[0]}x{geometry.model[1]}")
    height, width = geometry.source
    return (
        f"Frames of {height}x{width} were {' and '.join(steps)} for the model; "
        "results are mapped back to the source's pixels."
    )
