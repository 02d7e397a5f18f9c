"""What a direct connection sends: results, and states after them."""

from __future__ import annotations

import functools
import socket
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from cineflow.runtime.state import StreamState
from cineflow.runtime.state_bytes import state_pieces
from cineflow.served import STATE, packed, send
from cineflow.serving.direct_ring import Ring

#: What is made of a frame: arrays by name, or the text of an error.
Outcome = Mapping[str, np.ndarray] | str


class Respond(Protocol):
    """Takes what is made of a frame and sends it; then the state, if the frame asks for it."""

    def __call__(self, outcome: Outcome, state: StreamState | None = None) -> None: ...


class Replies:
    """Sends what was made of frames. One thread at a time.

    Args:
        connection: To the client.
        ring: The client's memory.
    """

    def __init__(self, connection: socket.socket, ring: Ring) -> None:
        self._connection = connection
        self._ring = ring

    def respond(
        self, header: Mapping[str, Any], outcome: Outcome, state: StreamState | None = None
    ) -> None:
        """Send what was made of a frame; its arrays are in the ring then, as far as they fit.

        The state follows in a message of its own: the frame's result does not wait for it. It is
        made at once: a state that is kept until later frames keeps memory from them.

        Args:
            header: The frame's message.
            outcome: What was made of it.
            state: The stream after it; it is sent if the frame asks for it.
        """
        if isinstance(outcome, str):
            self._connection.sendall(packed({"id": header["id"], "error": outcome}))
            return
        outputs: list[tuple[str, str, tuple[int, ...], bool]] = []
        payload: list[np.ndarray] = []
        for name in header["outputs"]:
            if (array := outcome.get(name)) is None:
                continue
            inside = self._ring.take(header["slot"], name, array)
            outputs.append((name, _name_of(array.dtype), array.shape, inside))
            if not inside:
                payload.append(array)
        send(self._connection, {"id": header["id"], "outputs": outputs}, payload)
        if "state_slot" in header and state is not None:
            self._send_state(header, state)

    def _send_state(self, header: Mapping[str, Any], state: StreamState) -> None:
        pieces = state_pieces(state)
        inside = self._ring.take_all(header["state_slot"], STATE.name, pieces)
        said = {"id": header["id"], "state": [sum(map(len, pieces)), inside]}
        send(self._connection, said, () if inside else pieces)


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """A type's name, which NumPy makes anew each time."""
    return dtype.name
