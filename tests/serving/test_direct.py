"""The direct connection to the process of a model, from the page of the protocol alone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import Client, Stream
from cineflow_client.session import Session

SIZE = (64, 80)
FRAMES = np.random.default_rng(0).integers(0, 256, (4, *SIZE)).astype(np.uint8)


def message_of(header: Any) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<II", len(text), 0) + text


class Bare:
    """A client's side of a connection."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10.0)
        self.socket.connect(f"\0{name}")

    def send(self, header: Any, descriptors: tuple[int, ...] = ()) -> None:
        socket.send_fds(self.socket, [message_of(header)], descriptors)

    def next(self) -> tuple[dict[str, Any], bytes]:
        header, payload = struct.unpack("<II", self._exactly(8))
        return json.loads(self._exactly(header)), self._exactly(payload)

    def ended(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _exactly(self, count: int) -> bytes:
        came = b""
        while len(came) < count:
            piece = self.socket.recv(count - len(came))
            assert piece, "the connection has ended"
            came += piece
        return came


class Begun:
    """A stream that began by gRPC, and what is needed to go on directly."""

    def __init__(self, stream: Stream, name: str) -> None:
        ring = stream._resumer.session.link.ring
        assert ring is not None
        self.stream, self.name, self.ring = stream, name, ring
        self.hello = {
            "sequence": stream.sequence_id,
            "slot_bytes": ring.slot_bytes,
            "parts": {part: [ring.offsets[part], room] for part, room in ring.parts.items()},
        }

    def connect(self, **other: Any) -> Bare:
        bare = Bare(self.name)
        bare.send(self.hello | other, (self.ring.descriptor,))
        return bare

    def frame(self, **other: Any) -> dict[str, Any]:
        outputs = ["flow", "indices"]
        said = {"id": "7", "slot": 1, "dtype": "uint8", "shape": SIZE, "outputs": outputs}
        return said | other


@pytest.fixture
def begun(server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begun]:
    names: list[str] = []
    monkeypatch.setattr(Session, "open_direct", lambda self, name: bool(names.append(name)))
    with Client(server.url) as client, client.stream("lucas_kanade", "shm") as stream:
        stream.push(FRAMES[0])
        yield Begun(stream, names[0])


def test_a_frame_goes_through_the_ring_and_nothing_else_changes(begun: Begun) -> None:
    bare = begun.connect()
    assert bare.next() == ({"ready": True}, b"")
    begun.ring.put_frame(1, FRAMES[1])
    bare.send(begun.frame(frame_index=5))
    header, payload = bare.next()
    assert header["id"] == "7"
    flow, indices = header["outputs"]
    assert flow == ["flow", "float32", [2, *SIZE], True]
    assert indices == ["indices", "int64", [7], False]
    assert np.frombuffer(payload, np.int64)[:2].tolist() == [5, 0]
    found = begun.ring.take(1, "flow", "float32", (2, *SIZE))
    assert found.any()
    result = begun.stream.push(FRAMES[2])  # by gRPC, in the same sequence
    assert (result.current, result.previous) == (6, 5)


def test_a_frame_may_lie_apart_from_its_results(begun: Begun) -> None:
    """Results are in the slot; without one they come in the message."""
    bare = begun.connect()
    bare.next()
    begun.ring.put_frame(1, FRAMES[1])
    at = begun.ring.slot_bytes + begun.ring.offsets["frame"]
    bare.send(begun.frame(frame_at=at, slot=0, frame_index=5))
    assert bare.next()[0]["outputs"][0] == ["flow", "float32", [2, *SIZE], True]
    moved = begun.ring.take(0, "flow", "float32", (2, *SIZE)).copy()
    assert moved.any()
    begun.ring.put_frame(1, FRAMES[0])
    bare.send(begun.frame(frame_at=at, slot=None, frame_index=6))
    header, payload = bare.next()
    assert header["outputs"][0] == ["flow", "float32", [2, *SIZE], False]
    assert len(payload) == moved.nbytes + 56


def test_clients_that_do_not_read_take_nobody_s_place(server: TritonServer, begun: Begun) -> None:
    """More of them than frames may run at once. Their responses do not fit into the socket."""
    size = (512, 512)  # without a slot, 2 MiB of flow
    frames = np.random.default_rng(1).integers(0, 256, (2, *size)).astype(np.uint8)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(server.url))
        for _ in range(len(os.sched_getaffinity(0)) + 2):
            stream = stack.enter_context(client.stream("lucas_kanade", "shm"))
            stream.push(frames[0])
            silent = Begun(stream, begun.name)
            bare = silent.connect()
            stack.callback(bare.socket.close)
            bare.next()
            silent.ring.put_frame(1, frames[1])
            at = silent.ring.slot_bytes + silent.ring.offsets["frame"]
            bare.send(silent.frame(frame_at=at, slot=None, shape=size, frame_index=5))
            assert bare.socket.recv(1, socket.MSG_PEEK)  # computed, and on its way
        bare = begun.connect()
        bare.next()
        begun.ring.put_frame(1, FRAMES[1])
        bare.send(begun.frame(frame_index=5))
        assert bare.next()[0]["outputs"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"slot": 40}, "inside the ring"),
        ({"frame_at": -1}, "inside the ring"),
        ({"frame_at": 2**40}, "inside the ring"),
        ({"frame_at": "0"}, "inside the ring"),
        ({"slot": -1}, "inside the ring"),
        ({"shape": [6400, 80]}, "inside the ring"),
        ({"shape": [64, -80]}, "of uint8 or float32"),
        ({"dtype": "object"}, "of uint8 or float32"),
        ({"frame_index": 0}, "a frame index above 0"),
        ({"shape": [64, 64]}, "64x80"),
    ],
)
def test_a_bad_frame_is_refused_and_the_stream_goes_on(
    begun: Begun, wrong: dict[str, Any], said: str
) -> None:
    bare = begun.connect()
    bare.next()
    bare.send(begun.frame(**wrong))
    error = bare.next()[0]["error"]
    assert error.startswith("FrameError: {")
    assert said in error
    bare.send(begun.frame(id="8"))
    assert bare.next()[0]["id"] == "8"


@pytest.mark.parametrize(
    "message",
    [b"[]", b"{", b"{}", b'{"id": "1", "slot": 0}', b"[" * 100_000],
    ids=["list", "cut", "empty", "less", "deep"],
)
def test_what_is_not_a_message_ends_its_connection_only(begun: Begun, message: bytes) -> None:
    bare = begun.connect()
    bare.next()
    bare.send(message)
    assert bare.ended()
    assert begun.connect().next() == ({"ready": True}, b"")  # the stream lives


@pytest.mark.parametrize("sizes", [(2**20 + 1, 0), (2, 1)], ids=["header", "payload"])
def test_a_message_that_is_too_long_ends_its_connection_before_it_comes(
    begun: Begun, sizes: tuple[int, int]
) -> None:
    bare = begun.connect()
    bare.next()
    bare.socket.sendall(struct.pack("<II", *sizes))
    assert bare.ended()


def test_who_does_not_know_the_sequence_is_refused(begun: Begun) -> None:
    assert begun.connect(sequence=begun.stream.sequence_id + 1).ended()
    first = begun.connect()
    first.next()
    assert begun.connect().ended()  # it is taken
    nothing = Bare(begun.name)
    nothing.send(begun.hello)  # without the memory
    assert nothing.ended()


#: Another user's program, which knows the sequence and has the memory. It becomes that user after
#: its start, because that user may not be able to run this Python.
OTHER_USER = """
import os, socket, sys

name, hello, descriptor = sys.argv[1:]
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(10.0)
connection.connect("\\0" + name)
try:
    socket.send_fds(connection, [bytes.fromhex(hello)], [int(descriptor)])
    print(connection.recv(1))
except (BrokenPipeError, ConnectionResetError):
    print(b"")
"""


def test_another_user_is_refused(begun: Begun) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    hello, descriptor = message_of(begun.hello).hex(), begun.ring.descriptor
    command = [sys.executable, "-I", "-c", OTHER_USER, begun.name, hello, str(descriptor)]
    other = subprocess.run(
        command, pass_fds=[descriptor], capture_output=True, text=True, timeout=60, check=False
    )
    assert (other.stdout.strip(), other.stderr) == ("b''", "")
    assert begun.connect().next() == ({"ready": True}, b"")  # this user is not


def test_the_end_of_the_stream_ends_the_connection(begun: Begun) -> None:
    bare = begun.connect()
    bare.next()
    bare.send(begun.frame())
    bare.next()
    bare.send({"end": True})
    assert bare.ended()
    assert begun.connect().ended()
