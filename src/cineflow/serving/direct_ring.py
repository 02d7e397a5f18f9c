"""A client's shared memory, as the process of a model uses it over a direct connection."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cineflow.errors import FrameError
from cineflow.served import Messages


class Ring:
    """A client's shared memory.

    Args:
        connection: The client's first message comes from it, with the memory's descriptor.
        hello_s: Seconds that it gets for that.

    Attributes:
        sequence: The stream that it is of.
    """

    def __init__(self, connection: socket.socket, hello_s: float) -> None:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 4)
        try:
            (descriptor,) = descriptors
            messages = Messages(connection, data, has_payloads=False)
            first, _ = messages.next(hello_s) or ({}, b"")
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
