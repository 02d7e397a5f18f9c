"""A client of a cineflow server, written from docs/protocol.md alone.

It has Triton's stubs, gRPC and the standard library. A test checks that it imports nothing else, so
what it can do, a client in another language can do.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import mmap
import os
import queue
import re
import secrets
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

CONTRACT = 4
#: Format of a value and its bytes, by datatype.
TYPES = {
    "UINT8": "B", "BOOL": "?", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
TIMEOUT_S = 30.0
SHM = Path("/dev/shm")
KEY_HEADER = "triton-grpc-protocol-cineflow-key"
NAMED = re.compile(r"(\w+Error): (?=\{)")
#: Triton's own words, and the name of the model's error that means the same.
SAME_AS = {
    "must specify the START flag": "StreamGoneError",
    "Server is stopping": "ServerStoppingError",
}


class ProtocolError(Exception):
    """The server, or what it serves, is not what docs/protocol.md describes."""


@dataclass(frozen=True)
class Tensor:
    datatype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, datatype: str, values: Sequence[float], shape: Sequence[int] = ()) -> Tensor:
        data = struct.pack(f"<{len(values)}{TYPES[datatype]}", *values)
        return cls(datatype, tuple(shape) or (len(values),), data)

    def values(self) -> list[Any]:
        count = math.prod(self.shape)
        return list(struct.unpack(f"<{count}{TYPES[self.datatype]}", self.data))


@dataclass(frozen=True)
class Answer:
    """What came back for one request: tensors, or the text of an error and its name, if any."""

    request_id: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    text: str = ""

    @property
    def error(self) -> str:
        named = NAMED.search(self.text)
        if named:
            parts, _ = json.JSONDecoder().raw_decode(self.text, named.end())
            assert parts.keys() == {"wanted", "got", "remedy"}, self.text
            return named[1]
        return next((name for words, name in SAME_AS.items() if words in self.text), self.text)


@dataclass(frozen=True)
class Model:
    """What `ModelConfig` says about a model.

    Attributes:
        outputs: Sizes of every output by name, -1 where they vary.
    """

    served_name: str
    spec: Mapping[str, Any]
    outputs: Mapping[str, tuple[int, ...]]

    @property
    def rank(self) -> int:
        return 3 if self.spec["feed"]["volume"] else 2

    def default_outputs(self) -> list[str]:
        """All that need not be asked for."""
        return [name for name in self.outputs if name not in ("strain", "state")]

    def ring_parts(self, wanted: Sequence[str], size: tuple[int, ...]) -> dict[str, int]:
        """Bytes of each part of a slot, in its order."""
        parts = {"frame": 4 * math.prod(size)}
        own = {item["name"]: item for item in self.spec["outputs"]}
        for name in self.outputs:
            if name not in wanted:
                continue
            shape, width = None, 4
            if name in ("flow", "displacement"):
                shape = [self.rank, *size]
            elif name == "strain":
                shape = [3 * (self.rank - 1), *size]
            elif name in own:
                shape = self._resolved(own[name]["shape"], size)
                width = {"uint8": 1, "bool": 1, "float16": 2, "int64": 8, "float64": 8}.get(
                    own[name]["dtype"], 4
                )
            if shape is not None and math.prod(shape) >= 1024:
                parts[name] = width * math.prod(shape)
        return parts

    def _resolved(self, shape: Sequence[Any], size: tuple[int, ...]) -> list[int] | None:
        """A shape of the spec for frames of `size`; None where something else decides it."""
        (first, *_) = self.spec["feed"]["inputs"]
        dims = next(one["shape"] for one in self.spec["inputs"] if one["name"] == first)
        sizes = {
            dim["name"]: extent
            for dim, extent in zip(dims[-len(size) :], size, strict=True)
            if not isinstance(dim, int)
        }
        found = []
        for dim in shape:
            if isinstance(dim, int):
                found.append(dim)
            elif (axis := dim.get("axis", dim))["name"] in sizes:
                times, by = dim.get("numerator", 1), dim.get("denominator", 1)
                found.append(sizes[axis["name"]] * times // by)
            else:
                return None
        return found


class Server:
    """A channel to one server; with TLS if there is a folder of certificates."""

    def __init__(self, url: str, certificates: Path | None = None) -> None:
        self.url = url
        self.channel = grpc.insecure_channel(url, OPTIONS)
        if certificates is not None:
            names = ("ca.crt", "client.key", "client.crt")
            files = [(certificates / name).read_bytes() for name in names]
            self.channel = grpc.secure_channel(url, grpc.ssl_channel_credentials(*files), OPTIONS)
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def find(self, name: str, contract: int = CONTRACT) -> Model:
        """The model that people call `name`. Raises ProtocolError, or grpc.RpcError."""
        config = self._config(name)
        steps = config.ensemble_scheduling.step
        if len(steps) == 1:
            config = self._config(steps[0].model_name)
        spoken = config.parameters["contract"].string_value
        if spoken != str(contract):
            raise ProtocolError(f"{config.name}: contract {spoken or 'unknown'}, not {contract}")
        spec = json.loads(config.parameters["spec"].string_value)
        outputs = {one.name: tuple(one.dims) for one in config.output}
        return Model(config.name, spec, outputs)

    def ready(self, model: Model) -> bool:
        request = pb.ModelReadyRequest(name=model.served_name)
        return bool(self.stub.ModelReady(request, timeout=TIMEOUT_S).ready)

    def call(self, model: Model, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Answer:
        request = pb.ModelInferRequest(model_name=model.served_name, id="call")
        for name, tensor in inputs.items():
            add_input(request, name, tensor)
        for name in outputs:
            request.outputs.add(name=name)
        try:
            return read(self.stub.ModelInfer(request, timeout=TIMEOUT_S), None, 0)
        except grpc.RpcError as error:
            return Answer("call", text=error.details())

    def close(self) -> None:
        self.channel.close()

    def _config(self, name: str) -> Any:
        return self.stub.ModelConfig(pb.ModelConfigRequest(name=name), timeout=TIMEOUT_S).config


# --- Shared memory --------------------------------------------------------------------------------


class Ring:
    """Slots in shared memory that the server maps."""

    def __init__(self, server: Server, slots: int, parts: Mapping[str, int]) -> None:
        self.parts = dict(parts)
        self.offsets: dict[str, int] = {}
        self.slot_bytes = 0
        for name, count in parts.items():
            self.offsets[name] = self.slot_bytes
            self.slot_bytes += -(-count // 64) * 64
        self.slots = slots
        self.name = f"{own_prefix()}{os.getpid()}-{secrets.token_hex(8)}"
        self._server = server
        for name in orphans(os.listdir(SHM)):
            with contextlib.suppress(OSError):
                (SHM / name).unlink()
        path, size = SHM / self.name, slots * self.slot_bytes
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            self.memory = mmap.mmap(descriptor, size)
            register(server, self.name, size)
        finally:
            os.close(descriptor)
            path.unlink()
        for name in orphans(regions(server)):
            with contextlib.suppress(grpc.RpcError):
                unregister(server, name, wait_s=0)

    def place(self, tensor: Any, slot: int, part: str, byte_size: int) -> None:
        tensor.parameters["shared_memory_region"].string_param = self.name
        tensor.parameters["shared_memory_offset"].int64_param = self.offset(slot, part)
        tensor.parameters["shared_memory_byte_size"].int64_param = byte_size

    def offset(self, slot: int, part: str) -> int:
        return slot * self.slot_bytes + self.offsets[part]

    def put(self, slot: int, frame: bytes) -> None:
        start = self.offset(slot, "frame")
        self.memory[start : start + len(frame)] = frame

    def get(self, slot: int, part: str, byte_size: int) -> bytes:
        start = self.offset(slot, part)
        return self.memory[start : start + byte_size]

    def close(self) -> None:
        self.memory.close()
        with contextlib.suppress(grpc.RpcError):
            unregister(self._server, self.name)


def own_prefix() -> str:
    return f"cineflow-{os.stat('/proc/self/ns/pid').st_ino}-"


def orphans(names: Sequence[str]) -> list[str]:
    """Those names that belong to a process of this namespace that no longer exists."""
    prefix, found = own_prefix(), []
    for name in names:
        pid = name.removeprefix(prefix).partition("-")[0]
        if name.startswith(prefix) and pid.isdecimal():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                found.append(name)
            except OSError:
                continue
    return found


def register(server: Server, name: str, byte_size: int, *, with_key: bool = True) -> None:
    request = pb.SystemSharedMemoryRegisterRequest(
        name=name, key=f"/{name}", offset=0, byte_size=byte_size
    )
    metadata = key_metadata(server.url) if with_key else []
    server.stub.SystemSharedMemoryRegister(request, timeout=TIMEOUT_S, metadata=metadata)


def unregister(server: Server, name: str, wait_s: float = 10.0) -> None:
    request = pb.SystemSharedMemoryUnregisterRequest(name=name)
    metadata = key_metadata(server.url)
    until = time.monotonic() + wait_s
    while True:
        try:
            server.stub.SystemSharedMemoryUnregister(request, timeout=TIMEOUT_S, metadata=metadata)
            return
        except grpc.RpcError as error:  # it holds a region for a moment after the response
            if "in use" not in (error.details() or "") or time.monotonic() >= until:
                raise
            time.sleep(0.05)


def regions(server: Server) -> list[str]:
    request, metadata = pb.SystemSharedMemoryStatusRequest(), key_metadata(server.url)
    answer = server.stub.SystemSharedMemoryStatus(request, timeout=TIMEOUT_S, metadata=metadata)
    return list(answer.regions)


def key_metadata(url: str) -> list[tuple[str, str]]:
    host, _, port = url.rpartition(":")
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((host, 0))
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        folder = Path(f"/tmp/cineflow-keys-{os.geteuid()}")
        if os.path.isdir(base):
            folder = Path(base, "cineflow")
        path = folder / f"{port}.key"
        for status in (folder.lstat(), path.lstat()):
            others = status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            if others or status.st_uid != os.geteuid():
                return []
        return [(KEY_HEADER, path.read_text())]
    except (OSError, ValueError):
        return []


# --- Streams --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Push:
    """One frame on its way.

    Attributes:
        frame: Of `frame` or `frame_f32`, as its datatype says; None for a request without one.
        inputs: What comes with it, by name.
        outputs: Names of the outputs.
        room: Bytes of an output's room in the ring, by name, where they are not the part's.
        start: Whether it begins the sequence; None: the first one does.
        end: Whether it ends the sequence.
        parameters: Further parameters of the request.
    """

    frame: Tensor | None
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    room: Mapping[str, int] = field(default_factory=dict)
    start: bool | None = None
    end: bool = False
    parameters: Mapping[str, bool | int | str] = field(default_factory=dict)


class Stream:
    """One sequence after the other: it goes on after a loss.

    Args:
        server: Where it runs.
        model: Its model.
        ring: Takes the frames and the large outputs; None: they travel in the messages.
        sequence: Its id; 0 draws one.
        at_start: What comes with the first frame, by name.
        state_every: Frames from one state to the next; 0: never.
    """

    def __init__(
        self,
        server: Server,
        model: Model,
        ring: Ring | None = None,
        sequence: int = 0,
        at_start: Mapping[str, Tensor] | None = None,
        state_every: int = 16,
    ) -> None:
        self.server, self.model, self.ring = server, model, ring
        self.sequence = sequence or secrets.randbelow(2**62) + 1
        self.state: Tensor | None = None
        self._at_start = dict(at_start or {})
        self._state_every = state_every
        self._since = 0
        self._kept: dict[str, Push] = {}  # what the state does not contain, by request id
        self._answered: set[str] = set()
        self._slots: dict[str, int] = {}  # in flight
        self._counter = 0
        self._open()

    def _open(self) -> None:
        self._started = False
        self._again: set[str] = set()
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._call = self.server.stub.ModelStreamInfer(iter(self._outbox.get, None))
        self._reader = threading.Thread(
            target=_listen, args=(self._call, self._inbox), name="bare", daemon=True
        )
        self._reader.start()

    def send(self, push: Push) -> str:
        """Send a request; returns its id."""
        request_id = f"frame {self._counter}"
        self._counter += 1
        self._since += 1
        if self._state_every and self._since >= self._state_every and "state" not in push.outputs:
            push = replace(push, outputs=[*push.outputs, "state"])
            self._since = 0
        if push.frame is not None:
            self._kept[request_id] = push
        self._send(request_id, push)
        return request_id

    def receive(self) -> Answer:
        """The next answer. Raises ConnectionError if the call has ended."""
        while True:
            response = self._inbox.get(timeout=TIMEOUT_S)
            if isinstance(response, str):
                raise ConnectionError(response)
            inferred = response.infer_response
            if inferred.id not in self._again:
                break
            self._again.discard(inferred.id)  # its result had come before
            if response.error_message:
                return Answer(inferred.id, text=response.error_message)
        slot = self._slots.pop(inferred.id, 0)
        if response.error_message:
            refused = self._kept.pop(inferred.id, None)
            if refused is not None and "state" in refused.outputs:
                self._since = self._state_every  # the next frame brings it
            return Answer(inferred.id, text=response.error_message)
        answer = read(inferred, self.ring, slot)
        self._answered.add(answer.request_id)
        if "state" in answer.tensors and self._state_every:
            self.state = answer.tensors["state"]
            for request_id in list(self._kept):
                del self._kept[request_id]
                if request_id == answer.request_id:
                    break
        return answer

    def push(self, push: Push) -> Answer:
        self.send(push)
        return self.receive()

    def end(self) -> Answer:
        """End the sequence without a frame, and hang up."""
        answer = self.push(Push(None, end=True))
        self.hang_up()
        return answer

    def hang_up(self) -> None:
        """End the call, but not the sequence, as a lost connection does."""
        self._outbox.put(None)
        self._call.cancel()
        self._reader.join(TIMEOUT_S)

    def go_on(self) -> None:
        """Begin another sequence from the last state. Answers that were missing come now."""
        self.hang_up()
        if self.ring is not None:  # the server may still write to it
            self.ring.close()
            self.ring = Ring(self.server, self.ring.slots, self.ring.parts)
        self._slots.clear()
        until = time.monotonic() + TIMEOUT_S
        while not self.server.ready(self.model) and time.monotonic() < until:
            time.sleep(0.1)
        self.sequence = secrets.randbelow(2**62) + 1
        if self.state is not None:
            self._at_start = {"state": self.state}
        self._open()
        for request_id, push in self._kept.items():
            if request_id in self._answered:
                self._again.add(request_id)
                push = replace(push, outputs=["indices"])
            self._send(request_id, replace(push, start=None, end=False))

    def _send(self, request_id: str, push: Push) -> None:
        request = pb.ModelInferRequest(model_name=self.model.served_name, id=request_id)
        start = not self._started if push.start is None else push.start
        self._started = True
        request.parameters["sequence_id"].int64_param = self.sequence
        request.parameters["sequence_start"].bool_param = start
        request.parameters["sequence_end"].bool_param = push.end
        for name, value in push.parameters.items():
            kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
            setattr(request.parameters[name], kind, value)
        slot = 0
        if push.frame is not None:
            name = "frame" if push.frame.datatype == "UINT8" else "frame_f32"
            if self.ring is None or request_id in self._again:
                add_input(request, name, push.frame)
            else:
                busy = self._slots.values()
                slot = next(k for k in range(self.ring.slots) if k not in busy)
                self._slots[request_id] = slot
                self.ring.put(slot, push.frame.data)
                tensor = request.inputs.add(name=name, datatype=push.frame.datatype)
                tensor.shape.extend(push.frame.shape)
                self.ring.place(tensor, slot, "frame", len(push.frame.data))
        for name, given in ((self._at_start if start else {}) | dict(push.inputs)).items():
            add_input(request, name, given)
        for name in push.outputs:
            output = request.outputs.add(name=name)
            if self.ring is not None and name in self.ring.parts:
                room = push.room.get(name, self.ring.parts[name])
                self.ring.place(output, slot, name, room)
        self._outbox.put(request)


def _listen(call: Iterator[Any], inbox: queue.SimpleQueue[Any]) -> None:
    try:
        for response in call:
            inbox.put(response)
        inbox.put("the server ended the call")
    except grpc.RpcError as error:
        inbox.put(f"{error.code().name}: {error.details()}")


def add_input(request: Any, name: str, tensor: Tensor) -> None:
    request.inputs.add(name=name, datatype=tensor.datatype).shape.extend(tensor.shape)
    request.raw_input_contents.append(tensor.data)


def read(response: Any, ring: Ring | None, slot: int) -> Answer:
    """The tensors of a ModelInferResponse."""
    raw = list(response.raw_output_contents)
    each = len(raw) == len(response.outputs)
    tensors = {}
    for output in response.outputs:
        shape = tuple(output.shape)
        in_ring = ring is not None and output.name in ring.parts
        data = raw.pop(0) if each or not in_ring else b""
        byte_size = math.prod(shape) * struct.calcsize("<" + TYPES[output.datatype])
        if ring is not None and in_ring:
            data = ring.get(slot, output.name, byte_size)
        if len(data) != byte_size:
            raise ProtocolError(f"{output.name} {shape}: {len(data)} bytes, not {byte_size}")
        tensors[output.name] = Tensor(output.datatype, shape, data)
    return Answer(response.id, tensors)
