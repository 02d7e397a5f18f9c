"""An array on a CUDA card, and its one copy to host memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cineflow_client.cuda_driver import driver
from cineflow_client.errors import FrameRejected


class CardArray:
    """An array on a card, which can be copied to host memory.

    Args:
        owner: Keeps the memory.
        address: Of the first element, on the card.
        shape: Sizes of the axes.
        strides: Bytes from one element to the next along each axis; None: C-contiguous.
        dtype: In this machine's byte order.
        stream: What its producer has queued there is waited for. None: all work in the context.
        ready: Whether the producer says that there is nothing to wait for.

    Attributes:
        shape: Sizes of the axes; where `pad` was called, those with the padding.
        dtype: As given.
        in_slot: Whether it was copied into its slot of the ring.

    Raises:
        FrameRejected: Its memory is laid out in a way that is not copied.
    """

    def __init__(
        self,
        owner: object,
        address: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None,
        dtype: np.dtype[Any],
        stream: int | None,
        *,
        ready: bool = False,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.in_slot = False
        self._owner: object | None = owner
        self._address = address
        self._own_shape = shape
        self._strides = _copied_strides(shape, strides, dtype.itemsize)
        self._stream = stream
        self._ready = ready
        self._context: int | None = None
        self._check: Callable[[np.ndarray], None] | None = None
        self._notes_light = False
        self._lit = True
        if 0 not in shape and not address:
            raise FrameRejected(
                "an array with memory on a card",
                "a null pointer",
                "Allocate it, and send it before it is freed.",
            )

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in host memory, with the padding."""
        return math.prod(self.shape) * self.dtype.itemsize

    def pad(self, shape: tuple[int, ...]) -> None:
        """Let copies have zeros behind the end of each axis, up to this shape."""
        self.shape = shape

    def check(self, check: Callable[[np.ndarray], None], *, notes_light: bool) -> None:
        """Let `check` see the values of the array as soon as they are in host memory.

        Args:
            check: Raises what is wrong with them.
            notes_light: Whether `any` will be asked for.
        """
        self._check, self._notes_light = check, notes_light

    def wait(self) -> None:
        """Wait until its producer has written it.

        Raises:
            FrameRejected: Its address is not in a card's memory.
            CardUnavailable: The card or its driver does not work.
        """
        if self._context is None and 0 not in self._own_shape:
            reach = [
                stride * (size - 1)
                for stride, size in zip(self._strides, self._own_shape, strict=True)
            ]
            first = self._address + sum(min(step, 0) for step in reach)
            last = self._address + sum(max(step, 0) for step in reach) + self.dtype.itemsize - 1
            if not 0 < first <= last < 1 << 64:
                raise FrameRejected(
                    "an array in the memory of a card",
                    f"one from address {first:#x} to {last:#x}",
                    "Its shape or its strides are wrong.",
                )
            context = driver().context(first, last)
            if not self._ready:
                driver().wait(context, self._stream)
            self._context = context

    def write_to(self, target: np.ndarray) -> None:
        """Copy it to host memory.

        Args:
            target: Of its shape and dtype, C-contiguous.

        Raises:
            FrameRejected: As `wait`, or what `check` raises.
            CardUnavailable: As `wait`.
        """
        inside = target
        if self.shape != self._own_shape:
            target[...] = 0
            inside = target[tuple(slice(size) for size in self._own_shape)]
        self.wait()
        if inside.size:
            self._fetch(inside)
        if self._check is not None:
            self._check(inside)
        self._lit = not self._notes_light or bool(inside.any())

    def copy(self) -> np.ndarray:
        """A copy in host memory; raises as `write_to`."""
        self.wait()  # a size that no memory has is refused there
        target = np.empty(self.shape, self.dtype)
        self.write_to(target)
        return target

    def tobytes(self) -> bytes:
        """The bytes of `copy`."""
        return self.copy().tobytes()

    def any(self) -> bool:
        """Whether a value was not zero when it was copied."""
        return self._lit

    def release(self) -> None:
        """It was sent: its memory is the producer's again."""
        self._owner = None

    def _fetch(self, target: np.ndarray) -> None:
        if self._owner is None or self._context is None:
            raise FrameRejected(
                "an array that was not sent before", "one that was", "Send the frame again."
            )
        source, item = self._address, self.dtype.itemsize
        start = target.ctypes.data
        with driver().copying(self._context) as copier:
            contiguous = _contiguous_strides(self._own_shape, item)
            if self._strides == contiguous and target.flags.c_contiguous:
                copier.row(start, source, target.nbytes)
                return
            *outer, height, width = self._own_shape
            pitch, target_pitch = self._strides[-2], target.strides[-2]
            for index in np.ndindex(*outer):
                copier.rows(
                    start + _at(index, target.strides),
                    target_pitch,
                    source + _at(index, self._strides),
                    pitch,
                    width * item,
                    height,
                )


def _contiguous_strides(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    return tuple(item * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _copied_strides(
    shape: tuple[int, ...], strides: tuple[int, ...] | None, item: int
) -> tuple[int, ...]:
    """The strides, if rows can be copied as they lie: pixels side by side, rows in their order."""
    contiguous = _contiguous_strides(shape, item)
    if strides is None or 0 in shape:
        return contiguous
    if len(strides) != len(shape):
        raise FrameRejected(
            "one stride for each axis",
            f"{len(shape)} axes with {len(strides)} strides",
            "The object that the array came from describes it wrongly.",
        )
    # Along an axis of one element a stride says nothing.
    found = tuple(
        plain if size == 1 else step
        for size, step, plain in zip(shape, strides, contiguous, strict=True)
    )
    if found == contiguous:
        return found
    if len(shape) < 2 or found[-1] != item or found[-2] < shape[-1] * item:
        raise FrameRejected(
            "rows whose elements lie side by side; the rows may have space between them",
            f"shape {list(shape)} with strides of {list(strides)} bytes",
            "Copy it on the card first: cupy.ascontiguousarray(...), tensor.contiguous().",
        )
    return found


def _at(index: tuple[int, ...], strides: tuple[int, ...]) -> int:
    return sum(place * step for place, step in zip(index, strides, strict=False))
