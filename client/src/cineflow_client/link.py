"""Link: what a stream holds outside Python, and how it is given back.

A stream holds a gRPC call, the thread that feeds it, a ring that the server maps, and a direct
connection to the model where that works. They are given back once, whichever way the stream ends:
closed, broken, dropped without a word, or with the program. A forked child inherits all of them.
They stay the parent's: a child gives nothing back.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cineflow_client.connection import Connection
from cineflow_client.direct import Direct
from cineflow_client.errors import CineflowClientError
from cineflow_client.metadata import ModelInfo
from cineflow_client.ring import SharedRing
from cineflow_client.served import stream_outputs
from cineflow_client.shapes import resolved

#: Readings of the frame's own size.
FIELDS = ("flow", "displacement", "strain")
#: Fewer values than this travel inside the message.
_LEAST_IN_RING = 1024
#: What a state has next to its frames, fields and tensors; and the largest one that has room.
_STATE_REST, _MOST_STATE = 96 << 10, 16 << 20


class Link:
    """A bidirectional gRPC call, and a ring next to it.

    Args:
        connection: To the server.
        traceparent: The trace that the call belongs to, as W3C writes it; "" for none.

    Attributes:
        ring: The shared memory, once it was opened.
        direct: The direct connection, once it was opened.
        responses: The server's responses, in the order in which they come.
        hung_up: Whether it was ended here.
    """

    def __init__(self, connection: Connection, traceparent: str = "") -> None:
        self.ring: SharedRing | None = None
        self.direct: Direct | None = None
        self._connection = connection
        self._lock = threading.Lock()  # of the ring
        self._ended = False
        self._process = os.getpid()
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()  # at most slots + the end
        self._watch: Any = None
        self.hung_up = False
        # Triton's own trace takes the context from the call.
        metadata = (("traceparent", traceparent),) if traceparent else ()
        requests = _requests(self._outbox)
        self.responses: Any = connection.stub.ModelStreamInfer(requests, metadata=metadata)

    @property
    def is_own(self) -> bool:
        """Whether this process opened it; a forked child did not."""
        return os.getpid() == self._process

    def send(self, request: Any | Callable[[], Any]) -> None:
        """Queue a request, or a function that makes it when its turn comes.

        Such a function may take its time: it runs in the thread that feeds the call. It returns
        None where there is nothing to send any more.
        """
        self._outbox.put(request)

    def open_ring(self, slots: int, parts: dict[str, int], state_bytes: int) -> None:
        """Make the server map a ring.

        Raises:
            SharedMemoryUnavailable: See `SharedRing`.
            ServerUnavailable: No server responds.
        """
        ring = SharedRing(slots, parts, self._connection.register_memory, state_bytes)
        with self._lock:
            if not self._ended:
                self.ring = ring
                return
        self._give_back(ring)

    def open_direct(self, name: str, session: Any, sequence: int) -> bool:
        """Connect to the model's process, which has said its name; returns whether that worked."""
        with self._lock:
            if self._ended or self.ring is None or self.direct is not None:
                return False
            with contextlib.suppress(OSError, AttributeError):  # no such sockets on this system
                self.direct = Direct(name, session, sequence, self.ring)
            self.ring.keep_to_itself()
        if self.hung_up and self.direct is not None:  # meanwhile, in another thread
            self.direct.close()
        return self.direct is not None

    def watch(self, request: Any) -> None:
        """Keep a call open next to the stream, by which the server sees that this program lives.

        A server that does not know such calls refuses it, which changes nothing here.
        """
        if self._watch is not None:
            self._watch.cancel()
        if not self.hung_up:
            self._watch = self._connection.stub.ModelInfer.future(request)
        if self.hung_up and self._watch is not None:  # meanwhile, in another thread
            self._watch.cancel()

    def hang_up(self) -> None:
        """End the call at once. The server sees it, and `responses` ends."""
        if self.is_own:
            self.hung_up = True  # without a lock: the garbage collector may be the one that calls
            if self._watch is not None:
                self._watch.cancel()
            self._outbox.put(None)
            self.responses.cancel()
            if self.direct is not None:
                self.direct.close()

    def free_ring(self) -> None:
        """Give the shared memory back, here and at the server. Only after the call has ended."""
        with self._lock:
            self._ended = True
            ring, direct = self.ring, self.direct
        if direct is not None and self.is_own:
            direct.close()
            direct.release()
        with self._lock:
            self.ring = None
        if ring is not None and self.is_own:
            self._give_back(ring)

    def _give_back(self, ring: SharedRing) -> None:
        ring.close()
        # Where this fails, the server is gone or the channel was closed: the next program's ring
        # removes this one.
        with contextlib.suppress(CineflowClientError, ValueError):
            self._connection.unregister_memory(ring.name)


def ring_parts(model: ModelInfo, wanted: list[str], size: tuple[int, ...]) -> dict[str, int]:
    """Bytes of a slot's parts: the frame (up to float32), and each large result of a known size."""
    sizes = model.axis_sizes(size)
    parts = {"frame": 4 * math.prod(size)}
    own = {item["name"]: resolved(item["shape"], sizes) for item in model.spec["outputs"]}
    for port in stream_outputs(model.spec):
        if port.name not in wanted:
            continue
        shape = own.get(port.name) if port.name not in FIELDS else None
        if port.name in FIELDS:
            components = model.frame_rank if port.name != "strain" else 3 * (model.frame_rank - 1)
            shape = (components, *size)
        if shape is not None and math.prod(shape) >= _LEAST_IN_RING:
            parts[port.name] = math.prod(shape) * np.dtype(port.dtype).itemsize
    return parts


def state_bytes(model: ModelInfo, size: tuple[int, ...]) -> int:
    """Bytes that the state of a stream of 8-bit frames has at most, as far as the spec says.

    0: too many to keep room for. What is larger travels in the message.
    """
    feed, rank, pixels = model.spec["feed"], model.frame_rank, math.prod(size)
    frames = 1
    if feed["kind"] == "reference":
        frames += 1
    if feed["kind"] == "window":
        frames += feed["length"] + len(feed["inputs"]) - 2
    if any(item["role"] == "flow" for item in model.spec["outputs"]):
        frames += 2 * 4 * rank  # two fields of floats
    needed = _STATE_REST + frames * pixels
    sizes = model.axis_sizes(size)
    for item in model.spec["states"]:
        shape = resolved(item["shape"], sizes)
        if shape is None:
            return 0
        needed += math.prod(shape) * np.dtype(item["dtype"]).itemsize
    return needed if needed <= _MOST_STATE else 0


def _requests(outbox: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """The requests of an outbox until it yields None."""
    for item in iter(outbox.get, None):
        request = item() if callable(item) else item
        del item  # the next one may be long in coming, and this one holds a frame
        if request is not None:
            yield request
            del request
