"""The messages of a direct connection, between a client and the process of its model.

A message is two little-endian uint32, the bytes of its header and of its payload; then the header,
a JSON object; then the payload, arrays one after the other. docs/protocol.md says what they mean.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Any

_SIZES = struct.Struct("<II")
#: Bytes that are read at once. Python asks the system for more memory anew each time.
_PIECE = 1 << 16
#: Bytes of the longest header, far above that of any frame.
_MOST_HEADER = 1 << 20


def packed(header: Mapping[str, Any], payload: Iterable[bytes] = ()) -> bytes:
    """A message as bytes."""
    text, rest = json.dumps(header).encode(), b"".join(payload)
    return _SIZES.pack(len(text), len(rest)) + text + rest


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
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def next(self, wait_s: float | None = None) -> tuple[dict[str, Any], bytes] | None:
        """The next message: header and payload. None: none came within `wait_s`.

        Raises:
            EOFError: The other side has ended the connection.
            OSError: It broke.
            ValueError: What comes is not a message.
        """
        while (message := self._whole()) is None:
            if wait_s is not None and not self._poll.poll(max(0, round(1e3 * wait_s))):
                return None
            piece = self._connection.recv(_PIECE)
            if not piece:
                raise EOFError
            self._came += piece
        return message

    def _whole(self) -> tuple[dict[str, Any], bytes] | None:
        if len(self._came) < _SIZES.size:
            return None
        text, rest = _SIZES.unpack_from(self._came)
        if text > _MOST_HEADER or (rest and not self._has_payloads):
            raise ValueError(f"a message of {text} and {rest} bytes")
        start, end = _SIZES.size + text, _SIZES.size + text + rest
        if len(self._came) < end:
            return None
        header = json.loads(self._came[_SIZES.size : start])
        if not isinstance(header, dict):
            raise ValueError("a message without a header")
        payload = bytes(self._came[start:end])
        del self._came[:end]
        return header, payload
