"""What a direct connection sends: results, and states after them."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from cineflow.runtime.state import StreamState
from cineflow.runtime.state_bytes import state_pieces
from cineflow.served import STATE, packed, send
from cineflow.serving.direct_ring import Ring

_DONE = object()

#: What is made of a frame: arrays by name, or the text of an error.
Outcome = Mapping[str, np.ndarray] | str


class Respond(Protocol):
    """Takes what is made of a frame and sends it; then the state, if the frame asks for it."""

    def __call__(self, outcome: Outcome, state: StreamState | None = None) -> None: ...


class Replies:
    """Sends what was made of frames, and states after that. One thread at a time.

    A client that sends its frames as fast as it can would wait for a state together with its next
    frame. So a state is made in short steps, one after each frame, while the client is at work.

    Args:
        connection: To the client.
        ring: The client's memory.
    """

    def __init__(self, connection: socket.socket, ring: Ring) -> None:
        self._connection = connection
        self._ring = ring
        self._state_steps: Iterator[None] | None = None

    @property
    def owes_state(self) -> bool:
        """Whether a state is under way."""
        return self._state_steps is not None

    def respond(
        self, header: Mapping[str, Any], outcome: Outcome, state: StreamState | None = None
    ) -> None:
        """Send what was made of a frame; its arrays are in the ring then, as far as they fit.

        Args:
            header: The frame's message.
            outcome: What was made of it.
            state: The stream after it. If the frame asks for it, it is under way from now on.
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
            self.finish_state()
            self._state_steps = self._send_state(header, state)

    def go_on_with_state(self) -> None:
        """Do the next step of the state that is under way, if there is one."""
        if self._state_steps is not None and next(self._state_steps, _DONE) is _DONE:
            self._state_steps = None

    def finish_state(self) -> None:
        """Do what is left of the state that is under way."""
        while self._state_steps is not None:
            self.go_on_with_state()

    def _send_state(self, header: Mapping[str, Any], state: StreamState) -> Iterator[None]:
        pieces = state_pieces(state)
        yield
        inside = self._ring.take_all(header["state_slot"], STATE.name, pieces)
        yield
        said = {"id": header["id"], "state": [sum(map(len, pieces)), inside]}
        send(self._connection, said, () if inside else pieces)


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """A type's name, which NumPy makes anew each time."""
    return dtype.name
