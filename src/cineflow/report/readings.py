"""What a stream gave for one clip, as the report of any model shows it: in the clip's pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from cineflow.cine import Cine, Geometry, Plane
from cineflow.motion.landmarks import peaks
from cineflow.report.area_strain import area_strain
from cineflow.report.curves import Curves, curves_of
from cineflow.report.points import choose_wall_points, sample_field
from cineflow.report.scalars import Row, names_of
from cineflow.served import Result
from cineflow.spec import ModelSpec, Role, TensorSpec
from cineflow.spec.outputs import frame_values, motion_in_pixels


@dataclass(frozen=True, eq=False)
class Readings:
    """The readings of a clip that can be drawn or put into a table.

    Attributes:
        labels: Classes by frame, uint8 [H, W]; a frame without them is missing.
        classes: Names of the classes; empty if the model does not name them.
        points: Points by frame, float32 [K, 2] (x, y) px; a frame without them is missing.
        point_names: Names of the points; empty for wall points.
        rows: The numbers of each frame.
        absent: For each reading or output that was missing: the reason, and in how many frames.
        curves: Lengths of every frame, for a model that gives the points of a whole window; None
            for the others, whose lengths are in `rows`.
        strains: Area strain of each wall point by frame, float32 [K], a fraction; a frame without
            it is missing.
    """

    labels: Mapping[int, np.ndarray]
    classes: tuple[str, ...]
    points: Mapping[int, np.ndarray]
    point_names: tuple[str, ...]
    rows: tuple[Row, ...]
    absent: Mapping[str, tuple[str, int]]
    curves: Curves | None = None
    strains: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """Which slice of a model's volumes a clip of images shows.

    Attributes:
        plane: The slice's plane.
        index: Of the slice, in voxels of the clip's volumes.
        extent: Voxels of the model's volumes along the axis that it is seen along.
    """

    plane: Plane
    index: int
    extent: int


class ReadingsRecorder:
    """Collects results frame by frame.

    Points are those of the model. A model without points that gives a displacement moves points of
    the wall, which are chosen in the clip's first frame. Of volumes, labels and motion are those of
    one slice; points are projected onto it.

    Args:
        cine: The clip, in its own pixels.
        geometry: From those pixels to the model's.
        spec: The model.
        view: Of volumes: the slice that `cine` shows.
    """

    def __init__(
        self,
        cine: Cine,
        geometry: Geometry,
        spec: ModelSpec,
        view: View | None = None,
    ) -> None:
        self._cine = cine
        self._geometry = geometry
        self._spec = spec
        self._view = view
        self._labels: dict[int, np.ndarray] = {}
        self._points: dict[int, np.ndarray] = {}
        self._strains: dict[int, np.ndarray] = {}
        self._anchors: tuple[int, np.ndarray] | None = None

    def add(self, result: Result) -> None:
        """Add the next frame's result; its indices count the clip's frames.

        A window's points, or its motion, are those of all its frames. The frame that a result
        describes has those of that result, and any other those of the first window that it lies in.
        Frames past the clip's end are left out: they only fill its last window.
        """
        self._add_window(result)
        if result.described >= len(self._cine):
            return
        if (labels := self._labels_of(result)) is not None:
            self._labels[result.described] = labels
        if result.points is not None:
            within = result.points[:, list(self._components)]
            self._points[result.described] = self._geometry.points_to_source(within).astype(
                np.float32
            )
        elif result.displacement is not None:
            self._add_wall_points(result.described, result, result.displacement)

    def finish(self, rows: Sequence[Row], absent: Mapping[str, tuple[str, int]]) -> Readings:
        """Everything collected so far; the arguments are `Readings`' own."""
        names = names_of(self._spec, Role.POINTS, Role.HEAT_MAPS)
        window = self._window_output()
        windows = window is not None and window.role != Role.DISPLACEMENT
        return Readings(
            labels=self._labels,
            classes=names_of(self._spec, Role.LABELS, Role.PROBABILITIES),
            points=self._points,
            point_names=names,
            rows=tuple(rows),
            absent=absent,
            curves=curves_of(self._cine, self._points, names) if windows else None,
            strains=self._strains,
        )

    def _window_output(self) -> TensorSpec | None:
        """The output with the points, or the motion, of every frame of a window; or None."""
        points = self._spec.output_of(Role.POINTS) or self._spec.output_of(Role.HEAT_MAPS)
        found = points or self._spec.output_of(Role.DISPLACEMENT)
        many = found is not None and found.time_axis is not None and self._spec.feed.length > 1
        return found if many and (points is None or self._spec.feed.rank == 2) else None

    def _add_window(self, result: Result) -> None:
        tensor = self._window_output()
        if tensor is None or tensor.name not in result.outputs:
            return
        values = frame_values(tensor, result.outputs[tensor.name].values, self._spec.feed.rank)
        first = result.current - len(values) + 1
        for index, one in enumerate(values, start=first):
            if index in self._points or index >= len(self._cine):
                continue
            if tensor.role == Role.DISPLACEMENT:
                motion = motion_in_pixels(tensor, one, one.shape[1:])
                self._add_wall_points(index, result, motion)
                continue
            if tensor.role == Role.HEAT_MAPS:
                points, _ = peaks(one, self._geometry.model)
            else:
                order = tensor.components or ("x", "y")
                points = one[:, [order.index(name) for name in ("x", "y")]]
            self._points[index] = self._geometry.points_to_source(points).astype(np.float32)

    def _labels_of(self, result: Result) -> np.ndarray | None:
        for role in (Role.LABELS, Role.PROBABILITIES):
            tensor = self._spec.output_of(role)
            if tensor is None or tensor.name not in result.outputs:
                continue
            values = frame_values(tensor, result.outputs[tensor.name].values, self._spec.feed.rank)
            behind = result.current - result.described if len(values) > 1 else 0
            one = values[len(values) - 1 - behind]
            classes = one.argmax(axis=0) if role == Role.PROBABILITIES else one
            return self._to_source(self._shown_slice(classes).astype(np.uint8))
        return None

    def _shown_slice(self, values: np.ndarray) -> np.ndarray:
        """[..., H, W] of the slice that is shown; maps may have fewer slices than the volume."""
        if self._view is None:
            return values
        plane, index = self._view.plane, self._view.index
        return plane.cut(values, index * values.shape[plane.normal - 3] // self._view.extent)

    @property
    def _components(self) -> tuple[int, int]:
        """Positions in a vector of the picture's directions, to the right and down."""
        return (0, 1) if self._view is None else self._view.plane.components

    def _to_source(self, classes: np.ndarray) -> np.ndarray:
        """A map of the model's picture at any resolution, on the clip's pixels."""
        geometry = self._geometry
        whole = _resized(classes, geometry.model)
        inside = whole[: geometry.content[0], : geometry.content[1]]
        return _resized(inside, geometry.source)

    def _add_wall_points(self, index: int, result: Result, displacement: np.ndarray) -> None:
        if self._anchors is None:
            self._anchors = result.reference, choose_wall_points(self._cine)
        reference, anchors = self._anchors
        if result.reference != reference:
            anchors = self._points.get(result.reference, anchors)
            self._anchors = result.reference, anchors
        within = self._shown_slice(displacement[list(self._components)])
        motion = self._geometry.field_to_source(within)
        self._points[index] = anchors + sample_field(motion, anchors)
        if self._view is None:  # a slice does not show how a volume changes
            self._strains[index] = area_strain(motion, anchors)


def _resized(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if classes.shape == size:
        return classes
    return np.asarray(cv2.resize(classes, size[::-1], interpolation=cv2.INTER_NEAREST))
