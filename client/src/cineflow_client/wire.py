"""The messages on the wire: Triton's protobuf to plain values and back."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from cineflow_client.card_array import CardArray
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    ModelNotFound,
    ServerBusy,
    ServerDied,
    ServerRefused,
    ServerStopping,
    ServerUnavailable,
    StreamExpired,
)
from cineflow_client.ring import SharedRing
from cineflow_client.served import DATATYPES, DIRECT, KEEP_ALIVE, NOTES, Codec, Result, Times

_INPUT_NAMES = {"uint8": "frame", "float32": "frame_f32"}
_DTYPES = {datatype: name for name, datatype in DATATYPES.items()}


@dataclass(frozen=True)
class Step:
    """One frame on its way to the server.

    Attributes:
        frame: uint8 or float32, C-contiguous; on a card until it is put into its slot.
        index: The frame's number as the caller counts; None lets the server count.
        beat: Whether an R wave came with this frame; None without triggers.
        time_ms: When it was taken; None if that is not known.
        slot: Slot of the ring that holds it; not used without a ring.
        arrays: Further inputs by name, as the spec's dtypes and shapes say.
        kept: Whether `frame` is the stream's own; the caller may change another one once it was
            sent.
    """

    frame: np.ndarray | CardArray
    index: int | None
    beat: bool | None
    time_ms: float | None
    slot: int
    arrays: Mapping[str, np.ndarray]
    kept: bool = False


@dataclass(frozen=True)
class Answer:
    """What the server says of one request.

    Attributes:
        request_id: Of the request.
        error: The error's text; empty without one.
        arrays: Reads the tensors by name; given the slot of the frame.
        offer: Where the model's process takes direct connections, where it says so; "" elsewhere.
        state: Reads the state of the stream after a frame, where it comes apart from the frame's
            tensors, after them; None elsewhere.
    """

    request_id: str
    error: str
    arrays: Callable[[int], dict[str, np.ndarray]]
    offer: str = ""
    state: Callable[[], bytes] | None = None

    def read(self, slot: int) -> dict[str, np.ndarray]:
        """The tensors by name. Raises `ServerRefused` where they are not of this version."""
        with _of_this_version():
            return self.arrays(slot)


def answer_of(response: Any, ring: SharedRing | None, *, starts: bool = False) -> Answer:
    """The answer in a ModelStreamInferResponse; `starts`: to what began the sequence."""
    inferred = response.infer_response
    arrays = partial(read_arrays, inferred, ring)
    offer = _offered(inferred, ring) if starts else ""
    return Answer(inferred.id, response.error_message, arrays, offer)


def frame_request(
    model: str,
    sequence: int,
    request_id: str,
    step: Step,
    wanted: Iterable[str],
    ring: SharedRing | None,
    *,
    start: bool,
) -> Any:
    """A ModelInferRequest for one frame.

    Without a ring the message holds the frame. With a ring it points at the frame's slot, which the
    caller has filled (`SharedRing.put_frame`).
    """
    request = _request(model, sequence, request_id, start=start)
    name = _INPUT_NAMES[step.frame.dtype.name]
    if ring is None:
        _add_input(request, name, step.frame)
    else:
        _point_at(_declare(request, name, step.frame), ring, step.slot, "frame", step.frame.nbytes)
    scalars = {
        "frame_index": None if step.index is None else np.array([step.index], np.int64),
        "beat": None if step.beat is None else np.array([step.beat], np.bool_),
        "time_ms": None if step.time_ms is None else np.array([step.time_ms], np.float64),
    }
    for name, array in (scalars | dict(step.arrays)).items():
        if array is not None:
            _add_input(request, name, array)
    for name in wanted:
        output = request.outputs.add(name=name)
        if ring is not None and name in ring.parts:
            _point_at(output, ring, step.slot, name, ring.parts[name])
    return request


def call_request(model: str, arrays: Mapping[str, np.ndarray], wanted: Iterable[str]) -> Any:
    """A ModelInferRequest for one call of a stateless model."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, array in arrays.items():
        _add_input(request, name, array)
    for name in wanted:
        request.outputs.add(name=name)
    return request


def end_request(model: str, sequence: int, request_id: str, *, start: bool) -> Any:
    """A ModelInferRequest that ends a sequence and carries no frame."""
    request = _request(model, sequence, request_id, start=start)
    request.parameters["sequence_end"].bool_param = True
    return request


def alive_request(model: str, sequence: int) -> Any:
    """A ModelInferRequest that asks whether a model's process lives. It starts no stream."""
    request = end_request(model, sequence, "alive", start=True)
    request.parameters[KEEP_ALIVE].bool_param = True
    return request


def keep_alive_request(model: str, sequence: int, request_id: str) -> Any:
    """A ModelInferRequest that keeps the place of a sequence while no frames come."""
    request = _request(model, sequence, request_id, start=False)
    request.parameters[KEEP_ALIVE].bool_param = True
    return request


def set_parameters(request: Any, values: Mapping[str, int | str]) -> None:
    """Add parameters to a ModelInferRequest."""
    for name, value in values.items():
        if isinstance(value, str):
            request.parameters[name].string_param = value
        else:
            request.parameters[name].int64_param = value


def watch_request(model: str, watched: int, sequence: int) -> Any:
    """A ModelInferRequest whose response comes when the stream `watched` ends.

    The server sees the end of its connection, and frees the place of a client that is gone.
    """
    request = end_request(model, sequence, "watch", start=True)
    request.parameters["watch"].int64_param = watched
    return request


def read_arrays(response: Any, ring: SharedRing | None = None, slot: int = 0) -> dict[str, Any]:
    """The tensors of a ModelInferResponse by name.

    Raises:
        ServerRefused: A tensor's type, shape and bytes do not fit each other.
    """
    arrays: dict[str, np.ndarray] = {}
    with _of_this_version():
        for output, raw in _with_bytes(response, ring):
            dtype, shape = _DTYPES[output.datatype], tuple(output.shape)
            if ring is not None and output.name in ring.parts:
                arrays[output.name] = ring.take(slot, output.name, dtype, shape)
            else:
                # A copy: frombuffer's arrays are read-only and keep the whole message alive.
                arrays[output.name] = np.frombuffer(raw, dtype).reshape(shape).copy()
    return arrays


def _with_bytes(response: Any, ring: SharedRing | None) -> Iterator[tuple[Any, bytes]]:
    """The outputs of a response with their bytes in it. Those in the ring have none."""
    inline = iter(response.raw_output_contents)
    mapped = len(response.raw_output_contents) < len(response.outputs)
    for output in response.outputs:
        in_ring = ring is not None and output.name in ring.parts
        yield output, b"" if mapped and in_ring else next(inline, b"")


def _offered(response: Any, ring: SharedRing | None) -> str:
    """What the notes of a response say of direct connections; "" for nothing."""
    for output, raw in _with_bytes(response, ring):
        if output.name == NOTES.name:
            with contextlib.suppress(ValueError, AttributeError):  # reading the result says more
                return str(json.loads(raw).get(DIRECT, ""))
    return ""


def read_result(
    arrays: Mapping[str, np.ndarray],
    codec: Codec,
    latency_ms: float,
    place: Callable[[Times], Times],
) -> Result:
    """The result of one frame, from its tensors; the arguments are those of `Codec.decode`.

    Raises:
        ServerRefused: They are not those of a cineflow model.
    """
    with _of_this_version():
        return codec.decode(arrays, latency_ms, place)


@contextlib.contextmanager
def _of_this_version() -> Iterator[None]:
    """What fails inside, because a response has another form, is the server's version."""
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise ServerRefused(
            "a response as this version of the contract has it",
            f"{type(error).__name__}: {error}",
            "Server and client have different versions: install the same version of both.",
        ) from error


def _declare(request: Any, name: str, array: np.ndarray | CardArray) -> Any:
    tensor = request.inputs.add(name=name, datatype=DATATYPES[array.dtype.name])
    tensor.shape.extend(array.shape)
    return tensor


def _add_input(request: Any, name: str, array: np.ndarray | CardArray) -> None:
    _declare(request, name, array)
    request.raw_input_contents.append(array.tobytes())


def _request(model: str, sequence: int, request_id: str, *, start: bool) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    request.parameters["sequence_id"].int64_param = sequence
    request.parameters["sequence_start"].bool_param = start
    return request


def _point_at(tensor: Any, ring: SharedRing, slot: int, part: str, byte_size: int) -> None:
    tensor.parameters["shared_memory_region"].string_param = ring.name
    tensor.parameters["shared_memory_offset"].int64_param = ring.offset(slot, part)
    tensor.parameters["shared_memory_byte_size"].int64_param = byte_size


#: A typed error of the server: its name, then its parts as JSON. Triton writes text around it.
_TYPED = re.compile(r"(\w+Error): (?=\{)")
_KINDS: Mapping[str, type[CineflowClientError]] = {
    "FrameError": FrameRejected,
    "ArgumentError": FrameRejected,
    "ProfileError": FrameRejected,
    "StreamGoneError": StreamExpired,
    "ServerStoppingError": ServerStopping,
    "PlacesTakenError": ServerBusy,
}
#: Triton's words for a model whose process was killed, crashed or stalled.
_LOST_PROCESS = re.compile(r"Stub process '.*' is not healthy|Stub process is unhealthy")
#: The last one comes where a model is to be loaded that the repository does not have.
_NO_MODEL = re.compile(
    r"unknown model|is not found|failed to poll from model repository"
    r"|requested model '.*' is not available"  # statistics
)


def names_a_lost_region(message: str) -> bool:
    """Whether the server refused a request because it does not map the region that it names."""
    return "Unable to find shared memory region" in message


def error_from_message(message: str, model: str) -> CineflowClientError:
    """The typed error for an error message of the server."""
    typed = _TYPED.search(message)
    if typed:
        with contextlib.suppress(ValueError, KeyError):
            parts, _ = json.JSONDecoder().raw_decode(message, typed.end())
            kind = _KINDS.get(typed[1], ServerRefused)
            return kind(parts["wanted"], parts["got"], parts["remedy"])
    if "must specify the START flag" in message:
        return StreamExpired(
            "a stream that the server still knows",
            "one that it dropped: it was idle for too long, or its model was reloaded",
            "Open a new stream; displacement starts from a new reference frame.",
        )
    if "shared memory pool size" in message:
        return ServerRefused(
            "room for this frame and its results in the server's /dev/shm",
            message,
            "Send smaller frames, ask for fewer outputs, or start the server with a larger one "
            "(docker: --shm-size).",
        )
    if _LOST_PROCESS.search(message):
        return ServerDied(
            "a model whose process runs",
            message,
            "Its streams are lost with their state. `cineflow serve` starts it again: open a new "
            "stream in a moment.",
        )
    if "Server is stopping" in message:
        return ServerStopping(
            "a server that keeps running",
            message,
            "Start the server again and open a new stream; displacement starts from a new "
            "reference frame.",
        )
    if "protocol is restricted" in message:
        return ServerRefused(
            "a program of the server's own user, on the server's machine",
            "one that does not send the server's key",
            "Run it as the user that started the server.",
        )
    if "load / unload is not allowed" in message:
        return ServerRefused(
            "a server whose models can change",
            "one with fixed models",
            "`cineflow serve` starts one; in Python, TritonServer(models=[...]).",
        )
    if _NO_MODEL.search(message):
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
