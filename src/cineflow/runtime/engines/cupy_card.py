"""One stream of a card, by CuPy: our kernels and an engine's copies are queued on it.

On a cart the beamformer shares the GPU. So the stream has the lowest priority, and CuPy's pool has
a cap.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from cineflow.errors import CineflowError, DeviceMemoryError, EngineError
from cineflow.ops.held import Shelf
from cineflow.runtime.engines.faults import fault_of

#: CUDA gives larger numbers to lower priorities; 0 is the lowest.
LOWEST_PRIORITY = 0

#: Most memory that CuPy's pool may take for buffers and scratch memory, where nobody says more.
MEMORY_CAP_BYTES = 1 << 30

#: Part of the pool that arrays may take which are held for their readers.
HELD_SHARE = 0.25


class CupyCard:
    """A `cineflow.ops.held.Card`. Any thread may use it; one does at a time.

    Args:
        cupy: The CuPy module.
        memory_bytes: What CuPy's pool may take.
        turn: Whoever holds it may use the card; None means a lock of its own.

    Attributes:
        shelf: The arrays that are held on the card for their readers.
    """

    def __init__(self, cupy: Any, memory_bytes: int, turn: threading.RLock | None = None) -> None:
        self._cupy = cupy
        self._memory_bytes = memory_bytes
        self._pool = cupy.get_default_memory_pool()
        self._pool.set_limit(size=memory_bytes)
        self._stream = cupy.cuda.Stream(non_blocking=True, priority=LOWEST_PRIORITY)
        self._lock = turn or threading.RLock()
        self.shelf = Shelf(int(HELD_SHARE * memory_bytes))

    def copy_of(self, name: str, address: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """A copy of another library's memory on the card, which is there when this returns.

        Args:
            name: Of the tensor, for messages.
            address: Of its values, contiguous; no stream is still writing them.
            shape: Of it.
            dtype: Of it, a float.

        Raises:
            EngineError: A value is not finite.
        """
        with self.working({}):
            copy = self._cupy.empty(shape, dtype)
            runtime = self._cupy.cuda.runtime
            kind, stream = runtime.memcpyDeviceToDevice, self._stream.ptr
            runtime.memcpyAsync(copy.data.ptr, address, copy.nbytes, kind, stream)
            if not self.fetch(self._cupy.isfinite(copy).all()):
                raise EngineError(f"a finite {name}", "NaN or infinite values")
        return copy

    def fetch(self, value: Any) -> np.ndarray:
        """An output that a run has kept, or an array made of such, in host memory."""
        with self.working({"": value}):
            array = self._fetched(value)
            self._stream.synchronize()
        return array

    def put(self, array: np.ndarray) -> Any:
        """A copy of an array on the card, in the order of the stream."""
        with self.working({"": array}):
            value = self._cupy.empty(array.shape, array.dtype)
            value.set(array, stream=self._stream)
        return value

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within it, CuPy and our ops work on this stream; see `cineflow.ops.held.Card`."""
        with self.working({}):
            yield

    @contextmanager
    def working(self, arrays: Mapping[str, Any]) -> Iterator[None]:
        """One thread's turn; what goes wrong becomes a typed error."""
        with self._lock, self._stream:
            try:
                yield
            except EngineError as error:
                self._raise_if_lost(error)
                raise
            except CineflowError:
                raise
            except Exception as error:  # naming CuPy's classes would need CuPy
                raise self._failure(error, arrays) from error

    def _fetched(self, value: Any) -> np.ndarray:
        """A copy in host memory, which is there once the stream has been waited for."""
        array: np.ndarray = self._cupy.asnumpy(value, stream=self._stream, blocking=False)
        return array

    def _failure(self, error: Exception, arrays: Mapping[str, Any]) -> EngineError:
        """The typed error for one of CuPy's."""
        kind = fault_of(error)
        if issubclass(kind, DeviceMemoryError):
            return kind(
                f"buffers for {[list(array.shape) for array in arrays.values()]} within "
                f"{self._memory_bytes >> 20} MiB of GPU memory",
                str(error),
                "Smaller frames, or an engine with a narrower --profile",
            )
        return kind("a card that computes", str(error), "`nvidia-smi` shows the card's state")

    def _raise_if_lost(self, error: EngineError) -> None:
        """TensorRT does not say why a step fails. CUDA does, if the card is lost."""
        try:
            self._stream.synchronize()
        except Exception as found:  # as above
            raise self._failure(found, {}) from error
