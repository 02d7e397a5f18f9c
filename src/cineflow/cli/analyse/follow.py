"""Following material points through a clip, forward and back from the frame they were drawn in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from cineflow.cine import Geometry
from cineflow.errors import ArgumentError
from cineflow.motion.lines import follow_back, follow_flow

#: Storage of a motion field until the frame with the points comes: an error of 0.001 px at 2 px.
_KEPT = np.dtype(np.float16)
#: Fields below this size stay in memory.
_SPOOLED_BYTES = 1 << 22


class _Kept:
    """The motion fields of the frames before the points, on disk if they are large."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES)  # noqa: SIM115
        self._frames: list[int] = []
        self._shape: tuple[int, ...] = ()

    def add(self, frame: int, field: np.ndarray) -> None:
        self._shape = field.shape
        self._frames.append(frame)
        self._file.write(field.astype(_KEPT).tobytes())

    def last_first(self) -> Iterator[tuple[int, np.ndarray]]:
        """Frame and field, f32, the last frame first."""
        size = int(np.prod(self._shape)) * _KEPT.itemsize
        for at, frame in reversed(list(enumerate(self._frames))):
            self._file.seek(at * size)
            stored = np.frombuffer(self._file.read(size), _KEPT)
            yield frame, stored.reshape(self._shape).astype(np.float32)

    def clear(self) -> None:
        self._file.close()
        self._frames.clear()


class PointFollower:
    """Follows points frame by frame, by a stream's flow, or by its displacement without one.

    Args:
        points: Material points [N, D] px of the clip (x, y[, z]).
        frame: Frame of the clip that they belong to.
        geometry: From the clip's pixels to the model's; of volumes, their size (depth, height,
            width), whose voxels are the model's.
        count: Frames of the clip.

    Raises:
        ArgumentError: The frame is not in the clip, or a point lies outside the picture.
    """

    def __init__(
        self,
        points: np.ndarray,
        frame: int,
        geometry: Geometry | tuple[int, int, int],
        count: int,
    ) -> None:
        if not 0 <= frame < count:
            raise ArgumentError(f"points in a frame of 0 to {count - 1}", f"frame {frame}")
        size: tuple[int, ...] = geometry.source if isinstance(geometry, Geometry) else geometry
        inside = (points >= -0.5) & (points <= np.array(size[::-1]) - 0.5)
        if not inside.all():
            worst = int(np.argmin(inside.all(axis=1)))
            sides = "x".join(map(str, size[::-1]))
            raise ArgumentError(
                f"points ({', '.join('xyz'[: len(size)])}) inside {sides} px",
                f"point {worst} at {np.round(points[worst], 1).tolist()}",
            )
        self._frame, self._count = frame, count
        self._geometry = geometry if isinstance(geometry, Geometry) else None
        start = points if self._geometry is None else self._geometry.points_to_model(points)
        self._places: dict[int, np.ndarray] = {frame: start}
        self._kept = _Kept()
        self._reference: int | None = None
        self._anchors: np.ndarray | None = None

    def add(self, result: Any) -> None:
        """Add the next frame's `Result`; those past the clip's end are left out."""
        index = result.described
        if index >= self._count:
            return
        if result.flow is not None:
            self._by_flow(index, result.flow)
        elif result.displacement is not None:
            self._by_displacement(index, result.reference, result.displacement)

    def _by_flow(self, index: int, flow: np.ndarray) -> None:
        """`flow` leads from the frame before to this one."""
        if index <= self._frame:
            if index:  # the first frame follows none
                self._kept.add(index, flow)
            if index == self._frame:
                for at, field in self._kept.last_first():
                    self._places[at - 1] = follow_back(self._places[at], field)
                self._kept.clear()
            return
        self._places[index] = follow_flow(self._places[index - 1], flow)

    def _by_displacement(self, index: int, reference: int, displacement: np.ndarray) -> None:
        if self._reference not in (None, reference):
            raise ArgumentError(
                "one reference frame for the whole clip, for a model without a flow",
                f"frames {self._reference} and {reference}",
            )
        self._reference = reference
        if index < self._frame:
            self._kept.add(index, displacement)
            return
        if self._anchors is None:
            self._anchors = follow_back(self._places[self._frame], displacement)
            for at, field in self._kept.last_first():
                self._places[at] = follow_flow(self._anchors, field)
            self._kept.clear()
        self._places[index] = follow_flow(self._anchors, displacement)

    def path(self) -> np.ndarray:
        """Positions at every frame, f64 [T, N, D] px of the clip.

        Raises:
            ArgumentError: A frame had neither a flow nor a displacement.
        """
        missing = [index for index in range(self._count) if index not in self._places]
        if missing:
            raise ArgumentError("motion in every frame", f"none in {len(missing)} frames")
        stacked = np.stack([self._places[index] for index in range(self._count)])
        return stacked if self._geometry is None else self._geometry.points_to_source(stacked)
