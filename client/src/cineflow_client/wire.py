"""The messages on the wire: Triton's protobuf to plain values and back."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    ModelNotFound,
    ServerDied,
    ServerRefused,
    ServerUnavailable,
    StreamExpired,
)
from cineflow_client.metadata import OUTPUTS
from cineflow_client.result import BeatInfo, Cause, QualityParts, Result, Rhythm
from cineflow_client.ring import SharedRing

_FIELDS = ("flow", "displacement")
_TRITON_TYPES = {"uint8": "UINT8", "float32": "FP32"}
_INPUT_NAMES = {"uint8": "frame", "float32": "frame_f32"}


@dataclass(frozen=True)
class Step:
    """One frame on its way to the server.

    Attributes:
        frame: uint8 or float32 [H, W], C-contiguous.
        index: The frame's number as the caller counts; None lets the server count.
        beat: Whether an R wave came with this frame; None without triggers.
        time_ms: When it was taken; None if that is not known.
        slot: Slot of the ring that holds it; not used without a ring.
    """

    frame: np.ndarray
    index: int | None
    beat: bool | None
    time_ms: float | None
    slot: int


def frame_request(
    model: str, sequence: int, request_id: str, step: Step, ring: SharedRing | None, *, start: bool
) -> Any:
    """A ModelInferRequest for one frame.

    Without a ring the message holds the frame. With a ring it points at the frame's slot, which the
    caller has filled (`SharedRing.put_frame`).
    """
    request = _request(model, sequence, request_id, start=start)
    kind = step.frame.dtype.name
    tensor = request.inputs.add(name=_INPUT_NAMES[kind], datatype=_TRITON_TYPES[kind])
    tensor.shape.extend(step.frame.shape)
    if ring is None:
        request.raw_input_contents.append(step.frame.tobytes())
    else:
        _point_at(tensor, ring, step.slot, "frame", step.frame.nbytes)
    for name, value, datatype in (
        ("frame_index", None if step.index is None else np.array([step.index], "<i8"), "INT64"),
        ("beat", None if step.beat is None else np.array([step.beat]), "BOOL"),
        ("time_ms", None if step.time_ms is None else np.array([step.time_ms], "<f8"), "FP64"),
    ):
        if value is not None:
            request.inputs.add(name=name, datatype=datatype).shape.append(1)
            request.raw_input_contents.append(value.tobytes())
    for name in sorted(OUTPUTS):
        output = request.outputs.add(name=name)
        if ring is not None and name in _FIELDS:
            _point_at(output, ring, step.slot, name, 2 * 4 * step.frame.size)
    return request


def end_request(model: str, sequence: int, request_id: str, *, start: bool) -> Any:
    """A ModelInferRequest that ends a sequence and carries no frame."""
    request = _request(model, sequence, request_id, start=start)
    request.parameters["sequence_end"].bool_param = True
    return request


def read_result(response: Any, step: Step, ring: SharedRing | None, latency_ms: float) -> Result:
    """The result of one frame, from a ModelInferResponse.

    Raises:
        ServerRefused: The response is not that of a cineflow model.
    """
    arrays: dict[str, np.ndarray] = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        if ring is not None and output.name in _FIELDS:
            arrays[output.name] = ring.take(step.slot, output.name)
        else:
            dtype = "<i8" if output.datatype == "INT64" else "<f4"
            # A copy: frombuffer's arrays are read-only and keep the whole message alive.
            arrays[output.name] = np.frombuffer(raw, dtype).reshape(output.shape).copy()
    missing = OUTPUTS - arrays.keys()
    if missing:
        raise ServerRefused(
            f"a response with {sorted(OUTPUTS)}",
            f"one without {sorted(missing)}",
            "Server and client have different versions: install the same version of both.",
        )
    previous, current, reference, beat = (int(value) for value in arrays["tracked"])
    cause, delay, rhythm = (int(value) for value in arrays["beat_info"])
    drift = float(arrays["drift"][0])
    return Result(
        flow=arrays["flow"],
        displacement=arrays["displacement"],
        quality=float(arrays["quality"][0]),
        quality_parts=QualityParts(*map(_measured, arrays["quality_parts"].tolist())),
        previous=previous,
        current=current,
        reference=reference,
        beat_info=BeatInfo(beat, Cause(cause), delay, Rhythm(rhythm), _measured(drift)),
        latency_ms=latency_ms,
    )


def _measured(value: float) -> Any:
    """The value, or None for NaN, which means that it was not measured."""
    return None if math.isnan(value) else value


def _request(model: str, sequence: int, request_id: str, *, start: bool) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    request.parameters["sequence_id"].int64_param = sequence
    request.parameters["sequence_start"].bool_param = start
    return request


def _point_at(tensor: Any, ring: SharedRing, slot: int, part: str, byte_size: int) -> None:
    tensor.parameters["shared_memory_region"].string_param = ring.name
    tensor.parameters["shared_memory_offset"].int64_param = ring.offset(slot, part)
    tensor.parameters["shared_memory_byte_size"].int64_param = byte_size


#: A typed error of the server: its name, then its parts as JSON. Triton may write text before it.
_TYPED = re.compile(r"(\w+Error): (\{.*\})\s*$", re.S)
_KINDS: Mapping[str, type[CineflowClientError]] = {
    "FrameError": FrameRejected,
    "ArgumentError": FrameRejected,
    "StreamGoneError": StreamExpired,
}


def error_from_message(message: str, model: str) -> CineflowClientError:
    """The typed error for an error message of the server."""
    typed = _TYPED.search(message)
    if typed:
        with contextlib.suppress(ValueError, KeyError):
            parts = json.loads(typed[2])
            kind = _KINDS.get(typed[1], ServerRefused)
            return kind(parts["wanted"], parts["got"], parts["remedy"])
    if "must specify the START flag" in message:
        return StreamExpired(
            "a stream that the server still knows",
            "one that it dropped: it was idle for too long, or its model was reloaded",
            "Open a new stream; displacement starts from a new reference frame.",
        )
    if "Server is stopping" in message:
        return ServerDied(
            "a server that keeps running",
            message,
            "Start the server again and open a new stream; displacement starts from a new "
            "reference frame.",
        )
    if "unknown model" in message or "is not found" in message:
        return ModelNotFound(
            f"the model {model!r}", message, "Client.models() lists what is served."
        )
    if "not ready" in message or "unloading" in message:
        return ServerUnavailable(
            f"the model {model!r} ready", message, "Try again in a moment, or ask Client.models()."
        )
    return ServerRefused(
        f"a result from {model}",
        message or "an error without text",
        "The server's log says more.",
    )
