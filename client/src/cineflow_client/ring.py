"""A ring of slots in system shared memory: frames go in, results come out, each copied once.

The segment has a name only for a moment. It is created, the server maps it, and it is unlinked at
once. From then on the memory exists as long as one of the two processes maps it, and neither can
leave a name in /dev/shm when it dies. A program that is killed within that moment does leave a
name; the next ring that opens removes it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cineflow_client.card_array import CardArray
from cineflow_client.errors import CineflowClientError, SharedMemoryUnavailable
from cineflow_client.served import STATE

_FOLDER = Path("/dev/shm")
_ALIGNMENT = 64


class SharedRing:
    """Memory for `slots` frames and their results.

    A slot holds the frame, then each part of its result, each aligned to 64 bytes. Behind the slots
    there may be room for the state of the stream.

    Args:
        slots: How many frames may be in flight.
        parts: Bytes of each part of a slot by name, "frame" first.
        register: Called with (segment name, bytes); makes the server map it, raises if it cannot.
        state_bytes: Of the largest state that has room; 0: there is no room for one.

    Attributes:
        name: The region's name at the server.
        parts, state_bytes: As given.
        state_slot: The slot from which the offset of the state counts, the last one.
        offsets: Bytes from a slot's start to each part.
        slot_bytes: Bytes from one slot to the next.
        descriptor: Of the memory, for another process; -1 once it was closed.

    Raises:
        SharedMemoryUnavailable: This system has no shared memory or no space in it, or the server
            cannot map it.
    """

    def __init__(
        self,
        slots: int,
        parts: Mapping[str, int],
        register: Callable[[str, int], None],
        state_bytes: int = 0,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise SharedMemoryUnavailable("Linux", sys.platform, 'Use transport="grpc".')
        self.parts = dict(parts)
        self.state_bytes = state_bytes
        self.offsets: dict[str, int] = {}
        self.slot_bytes = 0
        for part, byte_size in parts.items():
            self.offsets[part] = self.slot_bytes
            self.slot_bytes += _aligned(byte_size)
        self.byte_size = slots * self.slot_bytes
        self.state_slot = slots - 1
        if state_bytes:
            self.offsets[STATE.name] = self.slot_bytes
            self.byte_size += _aligned(state_bytes)
        self.name = f"{_own_prefix()}{os.getpid()}-{secrets.token_hex(8)}"
        self._lock = threading.Lock()  # one thread may close it while another one writes
        path = _FOLDER / self.name
        _sweep()
        try:
            self._memory, self.descriptor = _create(path, self.byte_size)
            try:
                register(self.name, self.byte_size)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise SharedMemoryUnavailable(
                f"{self.byte_size / 1e6:.1f} MB of shared memory",
                f"{error.strerror or error} in {_FOLDER}",
                'Make it larger (docker: --shm-size) or use transport="grpc".',
            ) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def offset(self, slot: int, part: str) -> int:
        """Bytes from the segment's start to a part of a slot."""
        return slot * self.slot_bytes + self.offsets[part]

    def put_frame(self, slot: int, frame: np.ndarray | CardArray) -> None:
        """Copy a frame, uint8 or float32, into a slot.

        Raises:
            SharedMemoryUnavailable: The ring was closed.
            FrameRejected, CardUnavailable: The frame is on a card; see `CardArray.write_to`.
        """
        with self._lock:
            self._require_open()
            view = np.ndarray(frame.shape, frame.dtype, self._memory, self.offset(slot, "frame"))
            try:
                if isinstance(frame, np.ndarray):
                    view[...] = frame
                else:
                    frame.write_to(view)
                    frame.in_slot = True
            except CineflowClientError as error:
                raise error.with_traceback(None) from None  # which would keep the view
            finally:
                del view  # the memory cannot be unmapped under it

    def take_frame(self, slot: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
        """A copy of the frame in a slot.

        Raises:
            SharedMemoryUnavailable: The ring was closed.
        """
        with self._lock:
            self._require_open()
            return self.take(slot, "frame", dtype, shape)

    def take(
        self, slot: int, part: str, dtype: str | np.dtype[Any], shape: tuple[int, ...]
    ) -> np.ndarray:
        """A copy of a part of a slot."""
        view: np.ndarray = np.ndarray(shape, dtype, self._memory, self.offset(slot, part))
        return view.copy()

    def state(self, byte_size: int) -> bytes:
        """A copy of a state of that many bytes."""
        at = self.offset(self.state_slot, STATE.name)
        return self._memory[at : at + byte_size]

    def close(self) -> None:
        """Unmap the memory. It is freed when the server has also unmapped it."""
        with self._lock:
            self._memory.close()
            self._close_descriptor()

    def keep_to_itself(self) -> None:
        """No other process will get its descriptor."""
        with self._lock:
            self._close_descriptor()

    def _require_open(self) -> None:
        if self._memory.closed:
            raise SharedMemoryUnavailable("an open ring", "one that was closed")

    def _close_descriptor(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def orphaned(names: Iterable[str]) -> list[str]:
    """Those of `names` that are rings of a program that no longer runs.

    A process id is only valid inside its own namespace, so the names carry both.

    Args:
        names: Regions of a server, or files of the shared-memory folder.
    """
    prefix = _own_prefix()
    gone = []
    for name in names:
        if name.startswith(prefix):
            pid = name.removeprefix(prefix).partition("-")[0]
            if pid.isdecimal() and not _runs(int(pid)):
                gone.append(name)
    return gone


def _runs(pid: int) -> bool:
    """Whether there is such a process, also one of another user that /proc does not show."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # not allowed to signal it: it is there
        return True
    return True


def _sweep() -> None:
    """Remove the names of programs that were killed before they could unlink them."""
    with contextlib.suppress(OSError):  # opening the ring reports a problem with the folder
        for name in orphaned(os.listdir(_FOLDER)):
            with contextlib.suppress(OSError):  # another program removed it first
                (_FOLDER / name).unlink()


def _own_prefix() -> str:
    """Start of the names that programs of this process-id namespace give their rings."""
    return f"cineflow-{os.stat('/proc/self/ns/pid').st_ino}-"


def _create(path: Path, byte_size: int) -> tuple[mmap.mmap, int]:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # Reserve now: a full /dev/shm would otherwise end the process on the first write (SIGBUS).
        os.posix_fallocate(descriptor, 0, byte_size)
        return mmap.mmap(descriptor, byte_size), descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _aligned(byte_size: int) -> int:
    return -(-byte_size // _ALIGNMENT) * _ALIGNMENT
