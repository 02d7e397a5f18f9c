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
import math
import mmap
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cineflow.errors import CineflowError, FrameError
from cineflow.runtime.readings import Room
from cineflow.runtime.state import StreamState
from cineflow.runtime.state_bytes import state_pieces
from cineflow.served import STATE, Messages, packed, send
from cineflow.serving.errors import error_text

#: Seconds that a new connection gets to say what it wants, and that frames get at the end.
_HELLO_S, _END_S = 5.0, 5.0
_CREDENTIALS = struct.Struct("3i")  # process, user, group

#: What is made of a frame: arrays by name, or the text of an error.
Outcome = Mapping[str, np.ndarray] | str


class Respond(Protocol):
    """Takes what is made of a frame and sends it, then the state if the frame asks for it."""

    def __call__(self, outcome: Outcome, state: StreamState | None = None) -> None: ...


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
            ring = _Ring(connection)
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

    def _frames(self, connection: socket.socket, ring: _Ring) -> None:
        connection.sendall(packed({"ready": True}))
        messages = Messages(connection, has_payloads=False)
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
            respond = functools.partial(_respond, connection, ring, header["id"], header)
            try:
                room = functools.partial(ring.room, header)
                request = DirectRequest(ring.sequence, header, ring.frame(header), room)
            except CineflowError as error:
                respond(error_text(error))
            else:
                self._compute(request, respond)


class _Ring:
    """A client's shared memory.

    Args:
        connection: The client's first message comes from it, with the memory's descriptor.

    Attributes:
        sequence: The stream that it is of.
    """

    def __init__(self, connection: socket.socket) -> None:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 4)
        try:
            (descriptor,) = descriptors
            messages = Messages(connection, data, has_payloads=False)
            first, _ = messages.next(_HELLO_S) or ({}, b"")
            self.sequence = int(first["sequence"])
            self._slot_bytes = int(first["slot_bytes"])
            self._parts = {
                name: (int(at), int(room)) for name, (at, room) in first["parts"].items()
            }
            self._memory = mmap.mmap(descriptor, 0)
        finally:
            for one in descriptors:
                os.close(one)

    def frame(self, header: Mapping[str, Any]) -> np.ndarray:
        """The pixels of a frame, a view.

        Raises:
            FrameError: They are not inside the ring, or not of a frame's type.
        """
        dtype, shape = header["dtype"], tuple(header["shape"])
        if dtype not in ("uint8", "float32") or any(
            type(one) is not int or one < 0 for one in shape
        ):
            raise FrameError("a frame of uint8 or float32", f"{dtype} {list(shape)}")
        byte_size = math.prod(shape) * np.dtype(dtype).itemsize
        where = "frame_at" if "frame_at" in header else "slot"
        if where == "frame_at":
            at = self._inside(header[where], byte_size)
        else:
            at = self._place(header[where], "frame", byte_size)
        if at is None:
            raise FrameError("a frame inside the ring", f"{list(shape)}, {where} {header[where]}")
        return np.ndarray(shape, dtype, self._memory, at)

    def room(
        self, header: Mapping[str, Any], name: str, dtype: str, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """The memory for an output of a frame; None where the client has none for it."""
        at = None
        if name in header["outputs"]:
            byte_size = math.prod(shape) * np.dtype(dtype).itemsize
            at = self._place(header["slot"], name, byte_size)
        return None if at is None else np.ndarray(shape, dtype, self._memory, at)

    def take(self, slot: int, name: str, array: np.ndarray) -> bool:
        """Have a result in its part of a slot; returns whether there is room."""
        at = self._place(slot, name, array.nbytes)
        if at is None:
            return False
        view = np.ndarray(array.shape, array.dtype, self._memory, at)
        if not np.may_share_memory(view, array):  # else it is there already
            view[...] = array
        return True

    def take_all(self, slot: Any, name: str, pieces: Sequence[np.ndarray]) -> bool:
        """Have bytes, one piece after the other, in a part of a slot, as `take`."""
        at = self._place(slot, name, sum(map(len, pieces)))
        if at is None:
            return False
        for piece in pieces:
            np.ndarray(piece.shape, piece.dtype, self._memory, at)[...] = piece
            at += len(piece)
        return True

    def close(self) -> None:
        with contextlib.suppress(BufferError):  # a view of it goes a little later
            self._memory.close()

    def _place(self, slot: Any, name: str, byte_size: int) -> int | None:
        """Where a part begins; None where there is no such room."""
        at, room = self._parts.get(name, (0, -1))
        if type(slot) is not int or byte_size > room or at < 0:
            return None
        return self._inside(slot * self._slot_bytes + at, byte_size)

    def _inside(self, start: Any, byte_size: int) -> int | None:
        """A place in the memory; None where it is not whole."""
        whole = type(start) is int and 0 <= start <= len(self._memory) - byte_size
        return start if whole else None


def _respond(
    connection: socket.socket,
    ring: _Ring,
    identity: object,
    header: Mapping[str, Any],
    outcome: Outcome,
    state: StreamState | None = None,
) -> None:
    """Send what was made of a frame; its arrays are in the ring then, as far as they fit.

    The state follows in a message of its own: the frame's result does not wait for it.
    """
    if isinstance(outcome, str):
        connection.sendall(packed({"id": identity, "error": outcome}))
        return
    outputs: list[tuple[str, str, tuple[int, ...], bool]] = []
    payload: list[np.ndarray] = []
    for name in header["outputs"]:
        if (array := outcome.get(name)) is None:
            continue
        inside = ring.take(header["slot"], name, array)
        outputs.append((name, _name_of(array.dtype), array.shape, inside))
        if not inside:
            payload.append(array)
    send(connection, {"id": identity, "outputs": outputs}, payload)
    if "state_slot" in header and state is not None:
        pieces = state_pieces(state)
        inside = ring.take_all(header["state_slot"], STATE.name, pieces)
        said = {"id": identity, "state": [sum(map(len, pieces)), inside]}
        send(connection, said, () if inside else pieces)


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """A type's name, which NumPy makes anew each time."""
    return dtype.name


def _of_this_user(connection: socket.socket) -> bool:
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(said)
    return bool(user == os.geteuid())


def _shut(connection: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(how)
