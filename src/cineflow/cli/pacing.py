"""Sending a clip to a server frame by frame, as a scanner would."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cineflow.cine import Cine, Geometry, fit_to
from cineflow.motion.closure import find_beat, point_closure
from cineflow.report import Closure, Trace, TraceRecorder
from cineflow.spec import ModelSpec

if TYPE_CHECKING:
    from cineflow_client import Client, LatencyLog, ModelInfo

#: Frames of a stream that is opened and closed before the clip. A runtime plans its memory on the
#: first frames it sees; a live stream pays for that once, not per beat.
WARM_UP_FRAMES = 3

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Tracked:
    """The results of a paced stream of a clip.

    Attributes:
        cine: The clip in its own pixels, with notes of what was done to it.
        trace: Its motion, transformed back to those pixels.
        latency: One latency per frame, against the clip's own frame period.
        transport: "shm" or "grpc".
        closure: Loop closure over one beat.
    """

    cine: Cine
    trace: Trace
    latency: LatencyLog
    transport: str
    closure: Closure


def spec_of(model: ModelInfo) -> ModelSpec:
    """The ModelSpec that the server publishes with a model."""
    return ModelSpec.from_json(json.dumps(model.spec))


def stream_paced(
    client: Client, model: ModelInfo, cine: Cine, progress: Progress = lambda done: None
) -> Tracked:
    """Stream a clip at its own rate. A frame is pushed when it is due, or after the last result.

    If a frame is pushed late because the previous one was slow, the wait counts against its
    deadline. So one stall costs every frame that it delays.

    Args:
        client: A connection to the server.
        model: The model, as `client.model` describes it.
        cine: The clip; it is fitted to the sizes that the model takes.
        progress: Called with the number of frames done.

    Raises:
        CineflowClientError: The server is gone, or it refuses a frame.
    """
    from cineflow_client import LatencyLog

    fitted, geometry = _fit(model, cine)
    recorder = TraceRecorder(cine)
    latency = LatencyLog(frame_period_ms=cine.frame_period_ms)
    with client.stream(model.served_name) as warm_up:
        for frame in fitted.frames[:WARM_UP_FRAMES]:
            warm_up.push(frame)
    with client.stream(model.served_name) as stream:
        started = time.perf_counter()
        for index, (frame, due_ms) in enumerate(zip(fitted.frames, cine.times_ms, strict=True)):
            early_s = started + due_ms / 1e3 - time.perf_counter()
            time.sleep(max(0.0, early_s))
            result = stream.push(frame, index)
            latency.add(result.latency_ms, waited_ms=max(0.0, -1e3 * early_s))
            recorder.add(
                geometry.field_to_source(result.displacement),
                result.quality,
                result.reference,
                result.beat,
                parts=result.quality_parts,
                beat_info=result.beat_info,
            )
            progress(index + 1)
        transport = stream.transport
    trace = recorder.finish()
    shown = replace(cine, notes=fitted.notes)  # the clip's own pixels, with the notes of the fit
    return Tracked(shown, trace, latency, transport, _closure(cine, trace))


def sustained_fps(
    client: Client, model: ModelInfo, cine: Cine, progress: Progress = lambda done: None
) -> float:
    """Frames per second with two frames in flight.

    Args and Raises: as `stream_paced`.
    """
    fitted, _ = _fit(model, cine)
    in_flight = 2  # one at the server, one on its way
    waiting: deque = deque()
    with client.stream(model.served_name, slots=in_flight) as stream:
        started = time.perf_counter()
        for index, frame in enumerate(fitted.frames):
            if len(waiting) == in_flight:
                waiting.popleft().result()
            waiting.append(stream.submit(frame, index, wait_s=stream.timeout_s))
            progress(index + 1)
        while waiting:
            waiting.popleft().result()
        return len(fitted) / (time.perf_counter() - started)


def _fit(model: ModelInfo, cine: Cine) -> tuple[Cine, Geometry]:
    height, width = spec_of(model).inputs[0].shape[-2:]
    return fit_to(cine, (height, width))


def _closure(cine: Cine, trace: Trace) -> Closure:
    beat, reason = find_beat(cine.frames, np.asarray(cine.times_ms), cine.sector)
    if beat is None:
        return Closure(None, None, reason)
    if trace.points.shape[1] == 0:
        return Closure(None, beat, "no wall points were found")
    return Closure(point_closure(trace.points, beat), beat)
