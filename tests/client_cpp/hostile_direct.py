"""The process of a model that breaks off, hangs or lies: the other end of a direct connection."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

NOTES = {"unit": "px", "absent": {}, "engine": "none"}
#: What becomes of the bytes of a message; None: half of it comes, and the connection ends.
Spoil = Callable[[bytes], bytes | None]


def outputs(height: int, width: int, count: int, notes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What a good server would say to a frame."""
    now = time.monotonic_ns()
    field = np.zeros((2, height, width), np.float32)
    return {
        "score": np.ones(1, np.float32),
        "labels": np.zeros((1, height // 4, 20), np.uint8),
        "flow": field,
        "displacement": field,
        "points": np.zeros((3, 2), np.float32),
        "quality_parts": np.zeros(9),
        "beat_info": np.zeros(5),
        "state": np.frombuffer(b"state", np.uint8),
        "indices": np.array([count] * 4 + [0] * 3, np.int64),
        "notes": np.frombuffer(json.dumps(dict(notes)).encode(), np.uint8),
        "computed": np.array([now - 1000, now], np.int64),
    }


def message_of(header: Any, payload: bytes = b"") -> bytes:
    """A message as bytes; a header of bytes stays as it is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<II", len(text), len(payload)) + text + payload


class HostileDoor:
    """Takes direct connections. `close` ends it.

    Attributes:
        name: Where clients connect.
        accepts: Whether it takes a connection that has come; else it closes it.
        greets: Whether it then says that it is ready.
        reads: Set while it reads what comes.
        spoil: Changes a message before it is sent.
        frames: How many frames have come.
        ended: How many clients have ended their stream.
    """

    def __init__(self) -> None:
        self.name = f"cineflow-test-{secrets.token_hex(8)}"
        self.accepts = self.greets = True
        self.reads = threading.Event()
        self.reads.set()
        self.spoil: Spoil = lambda message: message
        self.frames = self.ended = 0
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{self.name}")
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for connection in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.reads.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            if not self.accepts:
                return
            came = bytearray()
            self._next(connection, came)
            if self.greets:
                connection.sendall(message_of({"ready": True}))
            while True:
                self.reads.wait()
                header = self._next(connection, came)
                if header.get("end"):
                    self.ended += 1
                    return
                self.frames += 1
                for message in self._messages(header):
                    spoiled = self.spoil(message)
                    if spoiled is None:
                        connection.sendall(message[: len(message) // 2])
                        return
                    connection.sendall(spoiled)

    def _next(self, connection: socket.socket, came: bytearray) -> dict[str, Any]:
        while len(came) < 8 or len(came) < 8 + struct.unpack_from("<I", came)[0]:
            piece = connection.recv(1 << 16)
            if not piece:
                raise EOFError
            came += piece
        (size,) = struct.unpack_from("<I", came)
        header = json.loads(came[8 : 8 + size])
        del came[: 8 + size]
        return dict(header)

    def _messages(self, header: Mapping[str, Any]) -> Iterator[bytes]:
        """The response to a frame, and the state if it asks for that."""
        yield self._response(header)
        if "state_slot" in header:
            yield message_of({"id": header["id"], "state": [5, False]}, b"state")

    def _response(self, header: Mapping[str, Any]) -> bytes:
        *_, height, width = header["shape"]
        found = outputs(height, width, self.frames, NOTES)
        said, payload = [], b""
        for name in header["outputs"]:
            if name not in found:
                continue
            array = found[name]
            inside = array.nbytes > 4096 and header["slot"] is not None
            said.append([name, array.dtype.name, array.shape, inside])
            payload += b"" if inside else array.tobytes()
        return message_of({"id": header["id"], "outputs": said}, payload)
