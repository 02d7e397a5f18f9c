"""Frames of clients on this machine, straight to the process of their model.

Problem: a frame that goes by gRPC passes through half a dozen threads of client, server and model
before it is computed, and its result again. On two cores that is several times the work of copying
it, and each hand-over waits for a processor that has gone to sleep.

Solution: a stream begins by gRPC, which decides who may do what. A client with a ring may then
connect to this process by a Unix socket and hand over the ring's memory. From there on a frame is
a message of a few hundred bytes; the process reads the frame from the ring and writes the result
into it. docs/protocol.md describes the messages.

Who connects must be of this process' user, and must know the id of a live sequence, which is
secret. The socket has an abstract name, so nothing of it can stay behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cineflow.errors import CineflowError
from cineflow.runtime.readings import Room
from cineflow.served import Messages, packed
from cineflow.serving.direct_replies import Replies, Respond
from cineflow.serving.direct_ring import Ring
from cineflow.serving.errors import error_text

#: Seconds that a new connection gets to say what it wants, and that frames get at the end.
_HELLO_S, _END_S = 5.0, 5.0
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class DirectRequest:
    """A frame that came directly, as the model asks a request of Triton's.

    Args:
        sequence: The stream.
        header: The message.
        frame: The pixels, in the client's ring.
        room: Where in the ring its outputs go.
    """

    def __init__(
        self, sequence: int, header: Mapping[str, Any], frame: np.ndarray, room: Room | None = None
    ) -> None:
        self._arrays = {"frame" if frame.dtype == np.uint8 else "frame_f32": frame}
        for name, dtype in (("frame_index", "int64"), ("beat", "bool"), ("time_ms", "float64")):
            if (value := header.get(name)) is not None:
                self._arrays[name] = np.array([value], dtype)
        self.told: Mapping[str, Any] = header.get("parameters") or {}
        self.room = room
        self._sequence = sequence
        self._wanted: list[str] = header["outputs"]

    def correlation_id(self) -> int:
        """As Triton's: the sequence."""
        return self._sequence

    def flags(self) -> int:
        """As Triton's: neither the start nor the end of the sequence."""
        return 0

    def requested_output_names(self) -> list[str]:
        """As Triton's."""
        return self._wanted

    def input(self, name: str) -> np.ndarray | None:
        """An input by name; None where it is not there."""
        return self._arrays.get(name)


class Door:
    """Takes the direct connections of one model.

    Args:
        is_live: Whether there is a stream of an id.
        compute: Computes a frame and has its outcome sent. It raises only what the sending raises.
        end: Ends the stream of an id.

    Attributes:
        name: Where clients connect; "" where this system has no such sockets.
    """

    def __init__(
        self,
        is_live: Callable[[int], bool],
        compute: Callable[[DirectRequest, Respond], None],
        end: Callable[[int], None],
    ) -> None:
        self.name = ""
        self._is_live = is_live
        self._compute = compute
        self._end = end
        self._lock = threading.Lock()
        self._open: dict[int | str, socket.socket] = {}
        self._leaving: set[socket.socket] = set()  # their clients are to go back to gRPC
        self._threads: list[threading.Thread] = []
        self._closed = False
        name = f"cineflow-{secrets.token_hex(16)}"
        try:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(f"\0{name}")
        except (OSError, AttributeError):
            return
        self._listener.listen(64)
        self.name = name
        threading.Thread(target=self._accept, name="cineflow-door", daemon=True).start()

    def end(self, sequence: int | str) -> None:
        """The stream has ended, and its connection with it. One without is fine."""
        with self._lock:
            connection = self._open.pop(sequence, None)
        if connection is not None:
            _shut(connection, socket.SHUT_RDWR)

    def send_back(self, sequence: int | str) -> None:
        """The client's next frame goes by gRPC again. A stream without a connection is fine.

        So the client of a stream that has expired gets its error there, and nothing is kept for it.
        """
        with self._lock:
            connection = self._open.pop(sequence, None)
            if connection is not None:
                self._leaving.add(connection)
                _shut(connection, socket.SHUT_RD)

    def close(self) -> None:
        """Send clients back to gRPC, once the frames that are being computed have their results."""
        if not self.name:
            return
        with self._lock:
            self._closed = True
            for connection in self._open.values():
                self._leaving.add(connection)
                _shut(connection, socket.SHUT_RD)
            threads = list(self._threads)
        _shut(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        until = time.monotonic() + _END_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="cineflow-direct", daemon=True
            )
            with self._lock:
                self._threads = [one for one in self._threads if one.is_alive()]
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            # Whatever goes wrong with a client ends its connection, and nothing else.
            stack.enter_context(
                contextlib.suppress(
                    OSError,
                    EOFError,
                    ArithmeticError,
                    LookupError,
                    RecursionError,
                    TypeError,
                    ValueError,
                )
            )
            if not _of_this_user(connection):
                return
            connection.settimeout(_HELLO_S)
            ring = Ring(connection, _HELLO_S)
            stack.callback(ring.close)
            connection.settimeout(None)
            with self._lock:
                if self._closed or ring.sequence in self._open:
                    return
                self._open[ring.sequence] = connection
            try:
                if self._is_live(ring.sequence):
                    self._frames(connection, ring)
            finally:
                with self._lock:
                    self._leaving.discard(connection)
                    if self._open.get(ring.sequence) is connection:
                        del self._open[ring.sequence]

    def _frames(self, connection: socket.socket, ring: Ring) -> None:
        connection.sendall(packed({"ready": True}))
        messages = Messages(connection, has_payloads=False)
        replies = Replies(connection, ring)
        while True:
            try:
                message = messages.next()
            except EOFError:
                message = None
            if connection in self._leaving:  # what is left was not computed
                connection.sendall(packed({"bye": True}))
                return
            if message is None:
                return
            header, _ = message
            if header.get("end"):
                self._end(ring.sequence)
                return
            respond = functools.partial(replies.respond, header)
            try:
                room = functools.partial(ring.room, header)
                request = DirectRequest(ring.sequence, header, ring.frame(header), room)
            except CineflowError as error:
                respond(error_text(error))
            else:
                self._compute(request, respond)


def _of_this_user(connection: socket.socket) -> bool:
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(said)
    return bool(user == os.geteuid())


def _shut(connection: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(how)
