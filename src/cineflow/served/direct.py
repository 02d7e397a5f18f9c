"""The messages of a direct connection, between a client and the process of its model.

A message is two little-endian uint32, the bytes of its header and of its payload; then the header,
a JSON object; then the payload, arrays one after the other. docs/protocol.md says what they mean.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_SIZES = struct.Struct("<II")
#: Bytes that are read at once. Python asks the system for more memory anew each time.
_PIECE = 1 << 16
#: Bytes of the longest header, far above that of any frame.
_MOST_HEADER = 1 << 20

#: Bytes of arrays, one after the other. A large payload can be written to.
Payload = bytes | memoryview


def packed(header: Mapping[str, Any], payload_bytes: int = 0) -> bytes:
    """A message as bytes, without its payload."""
    text = json.dumps(header).encode()
    return _SIZES.pack(len(text), payload_bytes) + text


def send(
    connection: socket.socket, header: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()
) -> None:
    """Send a message whose payload is arrays. Large ones are not copied before.

    Raises:
        OSError: The connection broke.
    """
    payload = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays]
    count = sum(map(len, payload))
    first = packed(header, count)
    if count <= _PIECE:
        connection.sendall(first + b"".join(payload))
        return
    pieces = [memoryview(first), *payload]
    sent = connection.sendmsg(pieces)
    for piece in pieces:
        if sent < len(piece):
            connection.sendall(piece[sent:])
        sent = max(sent - len(piece), 0)


class Messages:
    """The messages that come from a socket. One thread at a time.

    Args:
        connection: The socket; it blocks.
        came: What was read from it before.
        has_payloads: Whether the other side may send payloads.
    """

    def __init__(
        self, connection: socket.socket, came: bytes = b"", *, has_payloads: bool = True
    ) -> None:
        self._connection = connection
        self._has_payloads = has_payloads
        self._came = bytearray(came)
        # A message whose payload has not come as a whole: the header, the payload, what is missing.
        self._half: tuple[dict[str, Any], np.ndarray, memoryview] | None = None
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def next(self, wait_s: float | None = None) -> tuple[dict[str, Any], Payload] | None:
        """The next message: header and payload. None: none came within `wait_s`.

        Raises:
            EOFError: The other side has ended the connection.
            OSError: It broke.
            ValueError: What comes is not a message.
        """
        while (message := self._whole()) is None:
            # Not `recv` alone, which also wakes when the other side has read what was sent.
            wait_ms = None if wait_s is None else max(0, round(1e3 * wait_s))
            if not self._poll.poll(wait_ms):
                return None
            if self._half is not None:
                self._fill(*self._half)
                continue
            piece = self._connection.recv(_PIECE)
            if not piece:
                raise EOFError
            self._came += piece
        return message

    def _fill(self, header: dict[str, Any], payload: np.ndarray, missing: memoryview) -> None:
        count = self._connection.recv_into(missing)
        if not count:
            raise EOFError
        self._half = header, payload, missing[count:]

    def _whole(self) -> tuple[dict[str, Any], Payload] | None:
        if self._half is not None:
            whole_header, array, missing = self._half
            if missing:
                return None
            self._half = None
            return whole_header, array.data
        if len(self._came) < _SIZES.size:
            return None
        text, rest = _SIZES.unpack_from(self._came)
        if text > _MOST_HEADER or (rest and not self._has_payloads):
            raise ValueError(f"a message of {text} and {rest} bytes")
        start, end = _SIZES.size + text, _SIZES.size + text + rest
        if len(self._came) < (start if rest > _PIECE else end):
            return None
        header = json.loads(self._came[_SIZES.size : start])
        if not isinstance(header, dict):
            raise ValueError("a message without a header")
        if len(self._came) < end:  # a large payload goes straight to its place
            try:
                array = np.empty(rest, np.uint8)
            except MemoryError as error:
                raise ValueError(f"a payload of {rest} bytes") from error
            here = len(self._came) - start
            array[:here] = np.frombuffer(self._came, np.uint8, here, start)
            self._came = bytearray()
            self._half = header, array, array.data[here:]
            return None
        payload = bytes(self._came[start:end])
        del self._came[:end]
        return header, payload
