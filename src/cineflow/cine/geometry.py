"""Resize and pad a clip for a model, and map points and motion back to the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from cineflow.cine.clip import Cine
from cineflow.errors import ArgumentError
from cineflow.spec import Axis

#: Step of the grid of a tracker's coarsest level and of the quality's blocks, px.
_GRID = 16
#: Black rows and columns around the sector that the model still sees, px.
_MARGIN = 16


@dataclass(frozen=True)
class Geometry:
    """The map from a source picture to a model's: cut, resized, padded on the right and below.

    Pixel centres are integers in both. A source point p maps to `(p - corner + 1/2) * scale - 1/2`.

    Attributes:
        source: (height, width) of the source picture.
        content: (height, width) of the resized picture inside the model's.
        model: (height, width) of the model's picture.
        box: (top, bottom, left, right) of the source that the model sees; None for all of it.
    """

    source: tuple[int, int]
    content: tuple[int, int]
    model: tuple[int, int]
    box: tuple[int, int, int, int] | None = None

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels per source pixel, (y, x). Rounding to whole pixels makes them differ."""
        top, bottom, left, right = self._seen
        return self.content[0] / (bottom - top), self.content[1] / (right - left)

    @property
    def _seen(self) -> tuple[int, int, int, int]:
        return self.box or (0, self.source[0], 0, self.source[1])

    @property
    def _corner(self) -> np.ndarray:
        top, _, left, _ = self._seen
        return np.array([left, top], np.float64)

    @property
    def is_identity(self) -> bool:
        """True if the picture was neither cut nor resized nor padded."""
        return self.source == self.model and self.box is None

    def points_to_model(self, points: np.ndarray) -> np.ndarray:
        """Source points [..., 2] (x, y) in px to model points."""
        return (np.asarray(points, np.float64) - self._corner + 0.5) * self.scale[::-1] - 0.5

    def points_to_source(self, points: np.ndarray) -> np.ndarray:
        """Model points [..., 2] (x, y) in px to source points."""
        return (np.asarray(points, np.float64) + 0.5) / self.scale[::-1] - 0.5 + self._corner

    def frame_to_model(self, frame: np.ndarray) -> np.ndarray:
        """A source frame, uint8 [H, W], cut, resized and padded with black, uint8 [H', W']."""
        top, bottom, left, right = self._seen
        frame = frame[top:bottom, left:right]
        if frame.shape == self.model:
            return frame
        height, width = self.content
        shrinks = min(self.scale) < 1
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        fitted = np.zeros(self.model, np.uint8)
        fitted[:height, :width] = cv2.resize(frame, (width, height), interpolation=way)
        return fitted

    def spacing_in_model(
        self, spacing_mm: tuple[float, float] | None
    ) -> tuple[float, float] | None:
        """The source's spacing (row, column) mm as that of the model's pixels."""
        if spacing_mm is None or self.scale == (1.0, 1.0):
            return spacing_mm
        return spacing_mm[0] / self.scale[0], spacing_mm[1] / self.scale[1]

    def note(self) -> str:
        """What was done to the source, as a sentence for the user; "" for nothing."""
        steps = []
        top, bottom, left, right = self._seen
        if self.box is not None:
            steps.append(f"cut to rows {top} to {bottom - 1} and columns {left} to {right - 1}")
        if self.content != (bottom - top, right - left):
            steps.append(f"resized to {self.content[0]}x{self.content[1]}")
        if self.content != self.model:
            steps.append(f"padded to {self.model[0]}x{self.model[1]}")
        if not steps:
            return ""
        height, width = self.source
        return (
            f"Frames of {height}x{width} were {' and '.join(steps)} for the model; "
            "results are mapped back to the source's pixels."
        )

    def field_to_source(self, field: np.ndarray) -> np.ndarray:
        """Resample a vector field of the model on the source's grid.

        Args:
            field: [2, H', W'], model pixels.

        Returns:
            float32 [2, H, W], source pixels; 0 where the model did not see the source.

        Raises:
            ArgumentError: The field does not have the model's size.
        """
        if field.shape != (2, *self.model):
            raise ArgumentError(f"a field [2, {self.model[0]}, {self.model[1]}]", str(field.shape))
        inside = np.asarray(field[:, : self.content[0], : self.content[1]], np.float32)
        top, bottom, left, right = self._seen
        if self.content != (bottom - top, right - left):
            size = (right - left, bottom - top)
            inside = np.stack([cv2.resize(c, size, interpolation=cv2.INTER_LINEAR) for c in inside])
        y, x = self.scale
        if (y, x) != (1.0, 1.0):
            inside = inside / np.array([x, y], np.float32)[:, None, None]
        if self.box is None:
            return inside
        whole = np.zeros((2, *self.source), np.float32)
        whole[:, top:bottom, left:right] = inside
        return whole


def fit_to(cine: Cine, axes: Sequence[Axis | int]) -> tuple[Cine, Geometry]:
    """Resize and pad a clip to a size that a model accepts, as `geometry_for` says.

    Args:
        cine: The clip.
        axes: The model's (height, width). An integer is a fixed size.

    Returns:
        The fitted clip, with a note of what was done, and the geometry that maps results back.

    Raises:
        ArgumentError: As `geometry_for`.
    """
    geometry = geometry_for(cine.size, axes)
    if geometry.is_identity:
        return cine, geometry
    frames = np.empty((len(cine), *geometry.model), np.uint8)
    for target, frame in zip(frames, cine.frames, strict=True):
        target[:] = geometry.frame_to_model(frame)
    (height, width), sector = geometry.content, np.zeros(geometry.model, bool)
    sector[:height, :width] = cv2.resize(
        cine.sector.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    ).astype(bool)
    fitted = replace(
        cine,
        frames=frames,
        sector=sector,
        spacing_mm=geometry.spacing_in_model(cine.spacing_mm),
        notes=(*cine.notes, geometry.note()),
    )
    return fitted, geometry


def geometry_for(size: tuple[int, int], axes: Sequence[Axis | int]) -> Geometry:
    """How pictures of one size are fitted to a size that a model accepts.

    One that only misses the axes' multiple or one minimum is padded and not resampled. One that is
    too large shrinks. One that is too small in both directions grows. Height and width share one
    scale.

    Args:
        size: (height, width) of the source.
        axes: The model's (height, width). An integer is a fixed size.

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

    shrink = min(high / side for high, side in zip(largest, size, strict=True))
    grow = min(low / side for low, side in zip(smallest, size, strict=True))
    scale = shrink if shrink < 1 else max(grow, 1.0)
    content = [
        min(high, max(1, round(side * scale))) for side, high in zip(size, largest, strict=True)
    ]
    model = [
        max(low, -(-side // axis.multiple) * axis.multiple)
        for side, axis, low in zip(content, limits, smallest, strict=True)
    ]
    return Geometry(size, (content[0], content[1]), (model[0], model[1]))


def cut_to(sector: np.ndarray, axes: Sequence[Axis | int]) -> Geometry | None:
    """The rectangle around a sector, for a model that takes pictures of any size as they are.

    What is black anyway only costs time. The rectangle begins at a multiple of 16 px, where a
    tracker's pyramid and the blocks of the quality have their grids, and keeps a margin. On the
    real clip, flows inside the sector then differ by less than 0.0001 px.

    Args:
        sector: bool [H, W].
        axes: The model's (height, width).

    Returns:
        The geometry, without resizing; None where the sector fills the picture, or the model does
        not take such a size.
    """
    if not all(isinstance(axis, Axis) and _GRID % axis.multiple == 0 for axis in axes):
        return None
    box, model = [], []
    for lines, size in zip((sector.any(axis=1), sector.any(axis=0)), sector.shape, strict=True):
        there = np.flatnonzero(lines)
        if not there.size:
            return None
        first = max(0, int(there[0]) - _MARGIN) // _GRID * _GRID
        last = min(_up(int(there[-1]) + 1 + _MARGIN), _up(size))
        box += [first, min(last, size)]
        model.append(last - first)
    top, bottom, left, right = box
    height, width = sector.shape
    if not all(isinstance(axis, Axis) and axis.accepts(side)
               for axis, side in zip(axes, model, strict=True)):  # fmt: skip
        return None
    if model == [_up(height), _up(width)]:
        return None
    content = bottom - top, right - left
    return Geometry((height, width), content, (model[0], model[1]), (top, bottom, left, right))


def _up(size: int) -> int:
    """The next multiple of the grid."""
    return -(-size // _GRID) * _GRID
