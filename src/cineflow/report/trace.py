"""The results of a stream over a clip, kept small: points, a coarse mesh and quality per frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np

from cineflow.cine import Cine
from cineflow.errors import ArgumentError
from cineflow.report.points import choose_wall_points, sample_field, tissue_mask
from cineflow.served import Quality


class BeatOfFrame(Protocol):
    """The beat of a frame, as a stream reports it in process or from a server."""

    @property
    def cause(self) -> Any: ...  # an Enum with the names START, TRIGGER and MOTION

    @property
    def delay_frames(self) -> int: ...

    @property
    def rhythm(self) -> Any: ...  # an Enum with the names UNKNOWN, REGULAR, EARLY and LATE

    @property
    def drift_px(self) -> float | None: ...


@dataclass(frozen=True)
class TracedBeat:
    """One reference frame and the beat that starts at it.

    Attributes:
        number: Counts from 0. Beat 0 lasts until the first trigger or found end-diastole.
        reference: The reference frame of its displacements.
        first: The first frame whose result refers to it.
        cause: Why it is the reference: "start", "trigger" or "motion".
        rhythm: The interval before it: "unknown", "regular", "early" or "late".
        drift_px: Loop closure of the previous beat, px of the clip; None if that was not a whole
            regular beat.
        overdue: Whether it lasted longer than beats do, so that the displacement drifted.
    """

    number: int
    reference: int
    first: int
    cause: str
    rhythm: str
    drift_px: float | None
    overdue: bool


#: Names of the quality's parts, as in a result.
PARTS = tuple(part.name for part in fields(Quality) if part.name != "index")


@dataclass(frozen=True, eq=False)
class Trace:
    """Tracked motion of one clip.

    Attributes:
        points: Wall points over time, float32 [T, P, 2] (x, y) px.
        nodes: Rest positions of the mesh, float32 [Gy, Gx, 2] (x, y) px.
        shown: Mesh nodes that lie on tissue, bool [Gy, Gx].
        displacement: Displacement of each node since the reference frame, float32 [T, Gy, Gx, 2]
            px.
        quality: Quality of each frame, float64 [T], 0..1.
        parts: The parts of the quality by name, each float64 [T]; lengths are px of the clip. NaN:
            not measured.
        reference: Reference frame of each frame's displacement, int64 [T].
        beat: Beat number of each frame, int64 [T].
        beats: The beats, in order.
        scale: Pixels of the model's picture for each of the clip.
        gaps: Frames before which frames are missing, int [N], as `Cine.gaps`.
    """

    points: np.ndarray
    nodes: np.ndarray
    shown: np.ndarray
    displacement: np.ndarray
    quality: np.ndarray
    parts: Mapping[str, np.ndarray]
    reference: np.ndarray
    beat: np.ndarray
    beats: tuple[TracedBeat, ...]
    scale: float = 1.0
    gaps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.intp))


class TraceRecorder:
    """Collects results frame by frame. Whole fields are dropped as soon as they are read.

    When the reference frame changes, points continue from their position at that frame, so that a
    trajectory runs through all beats. The mesh starts again, as the displacement does.

    Args:
        cine: The clip, in the pixels of the displacement.
        count: Largest number of wall points.
        scale: Pixels of the picture that the model saw for each of the clip. Lengths in the parts
            of the quality and in beats come in the model's pixels, and are kept in the clip's.
    """

    def __init__(self, cine: Cine, count: int = 32, *, scale: float = 1.0) -> None:
        self._scale = scale
        self._gaps = cine.gaps
        height, width = cine.size
        step = max(3, round(min(cine.size) / 44))
        self._every = (slice(step // 2, height, step), slice(step // 2, width, step))
        y, x = np.mgrid[self._every]
        self._size = cine.size
        self._nodes = np.stack([x, y], axis=-1).astype(np.float32)
        self._shown = _whole_cells(tissue_mask(cine)[y, x])
        self._points = [choose_wall_points(cine, count)]
        self._anchors = self._points[0]
        self._displacement: list[np.ndarray] = []
        self._quality: list[float] = []
        self._parts: list[list[float]] = []
        self._tracked: list[tuple[int, int]] = []
        self._beats: list[TracedBeat] = []

    def add(
        self,
        displacement: np.ndarray,
        quality: float,
        reference: int,
        beat: int,
        *,
        parts: object | None = None,
        beat_info: BeatOfFrame | None = None,
    ) -> None:
        """Add the next frame's result.

        Args:
            displacement: float32 [2, H, W] px, on the reference frame's grid.
            quality: 0..1.
            reference: Index of the reference frame in this clip.
            beat: Beat number.
            parts: An object with the quality's parts as attributes, named as in `PARTS`, or None.
            beat_info: The beat in full; None if only its number is known.

        Raises:
            ArgumentError: The displacement is not the size of the clip.
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
        nodes = displacement[:, self._every[0], self._every[1]]  # they lie on whole pixels
        self._displacement.append(np.moveaxis(nodes, 0, -1).astype(np.float32))
        self._quality.append(float(quality))
        measured = [getattr(parts, name, None) for name in PARTS]
        self._parts.append(
            [
                np.nan if value is None else float(value) / self._scale ** name.endswith("_px")
                for name, value in zip(PARTS, measured, strict=True)
            ]
        )
        self._note_beat(int(reference), int(beat), beat_info)
        self._tracked.append((int(reference), int(beat)))

    def _note_beat(self, reference: int, number: int, info: BeatOfFrame | None) -> None:
        rhythm = "unknown" if info is None else info.rhythm.name.lower()
        if self._beats and self._beats[-1].reference == reference:
            if rhythm == "late" and self._beats[-1].rhythm != "late":
                self._beats[-1] = replace(self._beats[-1], overdue=True)
            return
        self._beats.append(
            TracedBeat(
                number,
                reference,
                first=len(self._tracked),
                cause="start" if info is None else info.cause.name.lower(),
                rhythm=rhythm,
                drift_px=None
                if info is None or info.drift_px is None
                else info.drift_px / self._scale,
                overdue=False,
            )
        )

    def finish(self) -> Trace:
        """Everything collected so far.

        Raises:
            ArgumentError: No result was added.
        """
        if not self._tracked:
            raise ArgumentError("at least one result", "none")
        tracked = np.array(self._tracked, np.int64)
        return Trace(
            points=np.stack(self._points),
            nodes=self._nodes,
            shown=self._shown,
            displacement=np.stack(self._displacement),
            quality=np.array(self._quality),
            parts=dict(zip(PARTS, np.array(self._parts).T, strict=True)),
            reference=tracked[:, 0],
            beat=tracked[:, 1],
            beats=tuple(self._beats),
            scale=self._scale,
            gaps=self._gaps[self._gaps < len(tracked)],
        )


def _whole_cells(shown: np.ndarray) -> np.ndarray:
    """Nodes of the mesh's complete cells, so that no single line sticks out; bool [Gy, Gx]."""
    cells = shown[:-1, :-1] & shown[1:, :-1] & shown[:-1, 1:] & shown[1:, 1:]
    kept = np.zeros_like(shown)
    for down in (0, 1):
        for right in (0, 1):
            kept[down : down + cells.shape[0], right : right + cells.shape[1]] |= cells
    return kept
