"""Sending a clip, or a sequence of volumes, to a server frame by frame, as a scanner would."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cineflow.cine import PLANES, Cine, Geometry, VolumeCine, cut_to, geometry_for, padded
from cineflow.cli.collect import Collected, Collector, Slice
from cineflow.cli.frames import ModelFrames
from cineflow.cli.given import Given, read_given
from cineflow.cli.notes import clip_notes
from cineflow.cli.pace import Pace
from cineflow.cli.windows import past_the_end
from cineflow.errors import ArgumentError
from cineflow.motion.closure import find_beat, point_closure
from cineflow.report import Closure, Trace, View
from cineflow.spec import Axis, ModelSpec, Role
from cineflow.spec.axes import AxisPart, Dim

if TYPE_CHECKING:
    from cineflow_client import Client, LatencyLog, ModelInfo

#: Frames of a stream that is opened and closed before the clip. A runtime plans its memory on the
#: first frames it sees; a live stream pays for that once, not per beat.
WARM_UP_FRAMES = 3

#: Seconds that a command waits for a result. A window of a slow network takes longer than the 10 s
#: of the client library; after this time the server itself ends what hangs.
RESULT_S = 60.0

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Streamed:
    """The results of a paced stream of a clip.

    Attributes:
        cine: The clip in its own pixels, with notes of what was done to it; of volumes, the middle
            slice.
        geometry: From those pixels to those that the model saw.
        spec: The model.
        collected: What the model gave.
        latency: One latency per frame, against the clip's own frame period.
        transport: "shm" or "grpc".
        closure: Loop closure over one beat; not measured without a flow.
        repeats: Frames that are exact copies of the frame before.
        volumes: The volumes and their sizes; None for a clip of images.
    """

    cine: Cine
    geometry: Geometry
    spec: ModelSpec
    collected: Collected
    latency: LatencyLog
    transport: str
    closure: Closure
    repeats: tuple[int, ...] = ()
    volumes: FittedVolumes | None = None

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """mm per pixel along the frame's axes; None if lengths stay in pixels."""
        return self.cine.spacing_mm if self.volumes is None else self.volumes.spacing_mm


@dataclass(frozen=True, eq=False)
class FittedVolumes:
    """How volumes reached a model: as they are, with black voxels up to the sizes that it takes.

    Attributes:
        source: (depth, height, width) of the volumes.
        model: The same of what the model saw.
        slices: The planes that pictures show.
        spacing_mm: mm per voxel (slice, row, column); None if lengths stay in pixels.
    """

    source: tuple[int, int, int]
    model: tuple[int, int, int]
    slices: tuple[Slice, ...]
    spacing_mm: tuple[float, float, float] | None


@dataclass(frozen=True, eq=False)
class Source:
    """A clip as it is sent to one model.

    Attributes:
        cine: The clip in its own pixels; of volumes, the middle slice.
        frames: Its frames in the sizes that the model takes and the grey levels of its feed.
        spacing_mm: mm per pixel of those frames; None if lengths stay in pixels.
        notes: What was done to the clip, as sentences for the user.
        geometry: From the clip's pixels to the model's.
        spec: The model.
        given: The model's further inputs.
        volumes: The volumes and their sizes; None for a clip of images.
    """

    cine: Cine
    frames: ModelFrames
    spacing_mm: tuple[float, ...] | None
    notes: tuple[str, ...]
    geometry: Geometry
    spec: ModelSpec
    given: Given
    volumes: FittedVolumes | None = None


class Described(Protocol):
    """A model as `client.model` describes it, or a bundle in process."""

    @property
    def served_name(self) -> str: ...

    @property
    def spec(self) -> Mapping[str, Any]: ...


def prepare(
    model: Described, clip: Cine | VolumeCine, given: Path | None = None, *, cut: bool = False
) -> Source:
    """Fit a clip to a model.

    Args:
        model: The model, as `client.model` describes it.
        clip: A clip of images, or a sequence of volumes for a model of volumes.
        given: A .npz file with the model's further inputs.
        cut: Whether a tracker may see the rectangle around the scan sector alone.

    Raises:
        ArgumentError: The model does not take a stream of such frames, volumes are larger than it
            takes, or the further inputs do not fit.
    """
    spec = ModelSpec.from_json(json.dumps(model.spec))
    if not spec.feed.streams:
        raise ArgumentError(
            "a model that takes a stream of frames",
            f"{model.served_name}, which takes calls",
            f"`cineflow call {spec.name} --url HOST:PORT --input ARRAYS.npz`",
        )
    if spec.feed.volume != isinstance(clip, VolumeCine):
        raise ArgumentError(
            "a model of volumes [D, H, W], as this file has them"
            if isinstance(clip, VolumeCine)
            else "a model of images [H, W], as clips have them",
            f"{model.served_name}, which takes "
            f"{'volumes [D, H, W]' if spec.feed.volume else 'images [H, W]'}",
            "Volumes come from .npz and NIfTI files with the axes time, depth, height and width; "
            "images from DICOM and video files.",
        )
    limits = [_limits(dim) for dim in spec.frame_inputs[-1].shape[-spec.feed.rank :]]
    if isinstance(clip, VolumeCine):
        return _volume_source(clip, limits, spec, given)
    geometry = geometry_for(clip.size, limits)
    if cut and geometry.content == clip.size and _only_tracks(spec):
        geometry = cut_to(clip.sector, limits) or geometry
    return Source(
        cine=clip,
        frames=ModelFrames(clip.frames, geometry.frame_to_model, spec.feed.grey),
        spacing_mm=geometry.spacing_in_model(clip.spacing_mm),
        notes=(*clip.notes, *filter(None, [geometry.note()])),
        geometry=geometry,
        spec=spec,
        given=read_given(given, spec, len(clip), geometry),
    )


def _only_tracks(spec: ModelSpec) -> bool:
    """Whether all that a model gives is the motion from frame to frame."""
    return all(one.role == Role.FLOW for one in spec.outputs) and not spec.given_inputs


def _volume_source(
    clip: VolumeCine, limits: list[Axis | int], spec: ModelSpec, given: Path | None
) -> Source:
    """Volumes with black voxels up to the next sizes that the model takes; never resampled."""
    axes = [dim if isinstance(dim, Axis) else Axis("fixed", dim, dim) for dim in limits]
    sizes = [
        max(-(-size // axis.multiple), -(-axis.minimum // axis.multiple)) * axis.multiple
        for size, axis in zip(clip.size, axes, strict=True)
    ]
    if any(size > axis.maximum for size, axis in zip(sizes, axes, strict=True)):
        raise ArgumentError(
            f"volumes within {' x '.join(axis.describe() for axis in axes)} for {spec.name}",
            " x ".join(map(str, clip.size)),
            "Resample or crop them first; `cineflow phantom ventricle --size` makes them smaller.",
        )
    depth, height, width = sizes
    size = depth, height, width
    slices = _slices(clip, size)
    how = FittedVolumes(clip.size, size, slices, clip.spacing_mm)
    words = "x".join(map(str, clip.size))
    shown = ", ".join(f"{one.view.plane.along} = {one.view.index}" for one in slices)
    notes = [f"The model saw whole volumes of {words}; pictures show the slices {shown}."]
    if size != clip.size:
        notes.append(f"Volumes of {words} were padded to {'x'.join(map(str, size))} for the model.")
    return Source(
        cine=slices[0].cine,
        frames=ModelFrames(clip.frames, lambda volume: padded(volume, size), spec.feed.grey),
        spacing_mm=clip.spacing_mm,
        notes=(*clip.notes, *notes),
        geometry=slices[0].geometry,
        spec=spec,
        given=read_given(given, spec, len(clip), slices[0].geometry),
        volumes=how,
    )


def _slices(clip: VolumeCine, size: tuple[int, int, int]) -> tuple[Slice, ...]:
    """The middle slice of each plane, for a model that sees the volumes padded to `size`."""
    found = []
    for plane in PLANES:
        source = clip.size[plane.rows], clip.size[plane.columns]
        model = size[plane.rows], size[plane.columns]
        view = View(plane, clip.middle(plane), size[plane.normal])
        found.append(Slice(view, clip.plane(plane), Geometry(source, source, model)))
    return tuple(found)


def stream_paced(
    client: Client,
    source: Source,
    model: ModelInfo,
    progress: Progress = lambda done: None,
    *,
    keep: bool = False,
) -> Streamed:
    """Stream a clip at its own rate. A frame is pushed when it is due, or after the last result.

    If a frame is pushed late because the previous one was slow, the wait counts against its
    deadline. So one stall costs every frame that it delays. What the command does with a result
    does not count (`Pace`).

    Args:
        client: A connection to the server.
        source: The clip, from `prepare`.
        model: The model, as `client.model` describes it.
        progress: Called with the number of frames done.
        keep: Whether to keep every array of every frame, for `Outcome.write`.

    Raises:
        CineflowClientError: The server is gone, or it refuses a frame.
    """
    from cineflow_client import LatencyLog

    cine, given = source.cine, source.given
    slices = () if source.volumes is None else source.volumes.slices
    collector = Collector(cine, source.geometry, source.spec, keep=keep, slices=slices)
    latency = LatencyLog(frame_period_ms=cine.frame_period_ms)
    # A lost stream ends the measurement: the wait for a new server is not a latency.
    with client.stream(model.served_name, resume_s=0, timeout_s=RESULT_S) as warm_up:
        for index in range(min(warm_up_frames(source.spec), len(source.frames))):
            warm_up.push(source.frames[index], given=given.at(index))
    repeats: list[int] = []
    with client.stream(
        model.served_name, resume_s=0, timeout_s=RESULT_S, spacing_mm=source.spacing_mm
    ) as stream:
        pace = Pace(cine.times_ms.tolist())
        for index, frame in enumerate(source.frames):
            waited_ms = pace.wait(index)
            result = stream.push(frame, index, given=given.at(index))
            assert result.latency_ms is not None  # the client measures it
            latency.add(result.latency_ms, waited_ms=waited_ms)
            with pace.own_work(index):
                collector.add(result)
                if result.repeat:
                    repeats.append(index)
                progress(index + 1)
        for index in past_the_end(source.spec, len(cine)):
            last = stream.push(source.frames[-1], index, given=given.at(len(cine) - 1))
            collector.add(last)
        transport = stream.transport
    collected = collector.finish()
    return Streamed(
        shown_clip(source, repeats),
        source.geometry,
        source.spec,
        collected,
        latency,
        transport,
        closure_of(cine, collected.trace),
        tuple(repeats),
        source.volumes,
    )


def shown_clip(source: Source, repeats: Sequence[int]) -> Cine:
    """The clip in its own pixels, with notes of all that was done to it."""
    notes = (*source.notes, *clip_notes(source.spec, source.cine, repeats))
    return replace(source.cine, notes=notes)


def sustained_fps(
    client: Client, source: Source, model: ModelInfo, progress: Progress = lambda done: None
) -> float:
    """Frames per second with two frames in flight.

    Args and Raises: as `stream_paced`.
    """
    in_flight = 2  # one at the server, one on its way
    count = len(source.frames)
    indices = [*range(count), *past_the_end(source.spec, count)]
    waiting: deque = deque()
    with client.stream(
        model.served_name, slots=in_flight, resume_s=0, timeout_s=RESULT_S
    ) as stream:
        started = time.perf_counter()
        for index in indices:
            if len(waiting) == in_flight:
                waiting.popleft().result()
            own = min(index, count - 1)
            frame, given = source.frames[own], source.given.at(own)
            waiting.append(stream.submit(frame, index, given=given, wait_s=stream.timeout_s))
            progress(own + 1)
        while waiting:
            waiting.popleft().result()
        return len(indices) / (time.perf_counter() - started)


def warm_up_frames(spec: ModelSpec) -> int:
    """Frames that are sent before the clip: a window first runs when it is full."""
    return max(WARM_UP_FRAMES, spec.feed.length)


def _limits(dim: Dim) -> Axis | int:
    """The sizes that a frame may have along one axis."""
    if not isinstance(dim, AxisPart):
        return dim
    least, most = dim.size(dim.axis.minimum), dim.size(dim.axis.maximum)
    return Axis(dim.axis.name, least, most, max(1, dim.size(dim.axis.multiple)))


def closure_of(cine: Cine, trace: Trace | None) -> Closure:
    """Loop closure of a clip's wall points, or the reason why it was not measured."""
    if trace is None:
        return Closure(None, None, "the model has no flow of images")
    beat, reason = find_beat(cine.frames, np.asarray(cine.times_ms), cine.sector)
    if beat is None:
        return Closure(None, None, reason)
    if trace.points.shape[1] == 0:
        return Closure(None, beat, "no wall points were found")
    return Closure(point_closure(trace.points, beat), beat)
