"""What a stream said about a clip, kept small: points, a coarse mesh and quality per frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.cine import Cine
from cineflow.errors import ArgumentError
from cineflow.report.points import choose_wall_points, sample_field, tissue_mask


@dataclass(frozen=True, eq=False)
class Trace:
    """Tracked motion of one clip.

    Attributes:
        points: Wall points over time, float32 [T, P, 2] (x, y) px.
        nodes: Rest positions of the mesh, float32 [Gy, Gx, 2] (x, y) px.
        shown: Mesh nodes that lie on tissue, bool [Gy, Gx].
        displacement: Of each node since the reference frame, float32 [T, Gy, Gx, 2] px.
        quality: Of each frame, float64 [T], 0..1.
        reference: Reference frame of each frame's displacement, int64 [T].
        beat: Beat number of each frame, int64 [T].
    """

    points: np.ndarray
    nodes: np.ndarray
    shown: np.ndarray
    displacement: np.ndarray
    quality: np.ndarray
    reference: np.ndarray
    beat: np.ndarray


class TraceRecorder:
    """Collects results frame by frame; full fields are dropped as soon as they are read.

    When the reference frame is renewed, points go on from where they were at that frame, so a
    trajectory runs through beats; the mesh starts again, as the displacement does.

    Args:
        cine: The clip, in the pixels the displacement will be given in.
        count: Most wall points.
    """

    def __init__(self, cine: Cine, count: int = 32) -> None:
        height, width = cine.size
        step = max(3, round(min(cine.size) / 44))
        y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
        self._size = cine.size
        self._nodes = np.stack([x, y], axis=-1).astype(np.float32)
        self._shown = _whole_cells(tissue_mask(cine)[y, x])
        self._points = [choose_wall_points(cine, count)]
        self._anchors = self._points[0]
        self._displacement: list[np.ndarray] = []
        self._quality: list[float] = []
        self._tracked: list[tuple[int, int]] = []

    def add(self, displacement: np.ndarray, quality: float, reference: int, beat: int) -> None:
        """Add the next frame's result.

        Args:
            displacement: float32 [2, H, W] px, on the reference frame's grid.
            quality: 0..1.
            reference: Index of the reference frame in this clip.
            beat: Beat number.
        """
        if displacement.shape != (2, *self._size):
            raise ArgumentError(
                f"displacement [2, {self._size[0]}, {self._size[1]}]", str(displacement.shape)
            )
        if not self._tracked:
            self._points.clear()
        elif reference != self._tracked[-1][0]:
            self._anchors = (
                self._points[reference] if reference < len(self._points) else self._points[-1]
            )
        self._points.append(self._anchors + sample_field(displacement, self._anchors))
        self._displacement.append(sample_field(displacement, self._nodes))
        self._quality.append(float(quality))
        self._tracked.append((int(reference), int(beat)))

    def finish(self) -> Trace:
        """Everything collected so far."""
        if not self._tracked:
            raise ArgumentError("at least one result", "none")
        tracked = np.array(self._tracked, np.int64)
        return Trace(
            points=np.stack(self._points),
            nodes=self._nodes,
            shown=self._shown,
            displacement=np.stack(self._displacement),
            quality=np.array(self._quality),
            reference=tracked[:, 0],
            beat=tracked[:, 1],
        )


def _whole_cells(shown: np.ndarray) -> np.ndarray:
    """Nodes of the mesh's complete cells: no single line sticks out; bool [Gy, Gx]."""
    cells = shown[:-1, :-1] & shown[1:, :-1] & shown[:-1, 1:] & shown[1:, 1:]
    kept = np.zeros_like(shown)
    for down in (0, 1):
        for right in (0, 1):
            kept[down : down + cells.shape[0], right : right + cells.shape[1]] |= cells
    return kept
