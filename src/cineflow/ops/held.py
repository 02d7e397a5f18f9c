"""Arrays that stay on a card until somebody reads them.

An op that is given such an array runs where the array is, on the stream that made it, and returns
another one. Arrays in host memory that come with it are copied there first. Whoever reads the
values, as `numpy.asarray` does, waits for the stream and has them in host memory.

A program may keep thousands of results that nobody reads, and a card is small. So the arrays of a
card stay within a number of bytes: the oldest ones move to host memory, with the same values.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.ops.arrays import Array


class Card(Protocol):
    """Whoever makes arrays on a card, on one stream.

    Attributes:
        shelf: Its arrays.
    """

    shelf: Shelf

    def current(self) -> AbstractContextManager[None]:
        """The stream is current within, and no other thread uses it."""
        ...

    def put(self, array: np.ndarray) -> Array:
        """A copy of `array` on the card; `array` may change afterwards."""
        ...

    def fetch(self, value: Array) -> np.ndarray:
        """A copy of an array of the card in host memory, once the stream has written it."""
        ...


class Held:
    """An array on a card. Its values never change.

    Args:
        value: The array, of a library that `cineflow.ops` takes.
        card: Who made it.
    """

    __slots__ = ("__weakref__", "_array", "_value", "card", "dtype", "shape")

    def __init__(self, value: Array, card: Card) -> None:
        self._value: Array | None = value
        self._array: np.ndarray | None = None
        self.card = card
        self.shape: tuple[int, ...] = tuple(value.shape)
        self.dtype = np.dtype(value.dtype)
        card.shelf.add(self)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Held:
        """A view, for slices, whole numbers and new axes."""
        return Held(self.on(self.card)[key], self.card)

    def reshape(self, *shape: int) -> Held:
        """A view of a contiguous array."""
        return Held(self.on(self.card).reshape(shape), self.card)

    def on(self, card: Card) -> Array:
        """The array on `card`; a copy if it is not there."""
        value = self._value  # another thread may move it
        return value if value is not None and card is self.card else card.put(np.asarray(self))

    def move(self) -> None:
        """To host memory; the card's is given back."""
        self.__array__()
        self._value = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The values in host memory. They are fetched once."""
        value = self._value
        if self._array is None:
            self._array = self.card.fetch(value)
        return np.array(self._array, dtype, copy=bool(copy)) if copy or dtype else self._array

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or what leaves the process, is an array in host memory."""
        return np.array, (np.asarray(self),)


class Shelf:
    """The arrays of one card, oldest first. Any thread may use it.

    Args:
        most_bytes: That they may take together; the newest one always stays.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._arrays: deque[weakref.ref[Held]] = deque()
        self._bytes = 0  # of those that were added, also where nobody has them any more
        self._lock = threading.Lock()

    def add(self, array: Held) -> None:
        """Take one more; older ones move to host memory where there is no room."""
        with self._lock:
            self._arrays.append(weakref.ref(array))
            self._bytes += array.nbytes
            if self._bytes <= self._most_bytes:
                return
            there = [one for one in (ref() for ref in self._arrays) if one is not None]
            total = sum(one.nbytes for one in there)
            leaving = []
            while total > self._most_bytes and len(there) > 1:
                leaving.append(there.pop(0))
                total -= leaving[-1].nbytes
            self._arrays = deque(map(weakref.ref, there))
            self._bytes = total
        for one in leaving:
            one.move()


def stays(array: Any) -> bool:
    """Whether an array is held on a card."""
    return type(array) is Held


def readable(array: Any) -> Any:
    """`array` as NumPy has it, unless it is held on a card."""
    return array if type(array) is Held else np.asarray(array)


def run_there(function: Callable[..., Array], arrays: Sequence[Any], *more: Any) -> Held:
    """The result of `function(*arrays, *more)` on the card of the first array that is held.

    Raises:
        ArgumentError: An array is neither held nor in host memory.
    """
    card: Card = next(one.card for one in arrays if type(one) is Held)
    with card.current():
        return Held(function(*(_there(card, one) for one in arrays), *more), card)


def _there(card: Card, array: Any) -> Array:
    if type(array) is Held:
        return array.on(card)
    if not isinstance(array, np.ndarray):
        raise ArgumentError("arrays on one card, or in host memory", type(array).__name__)
    return card.put(array)
