"""The numbers of an array file, piece by piece, so that memory does not depend on their type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cineflow.cine.limits import check_size
from cineflow.errors import ArgumentError

#: Numbers of a piece: a multiple of 3 and of 4, so that it ends with a whole pixel of RGB or RGBA.
PIECE = 12 * 2**14
#: Samples of a colour.
_COLOURS = (3, 4)

LAYOUT = (
    "A .npz file has frames [T, H, W] or [T, D, H, W], times_ms [T] and spacing_mm ([slice,] row, "
    "column), as `cineflow phantom ventricle --out FILE.npz` writes it; NIfTI, .mhd and .nrrd have "
    "x, y, z and time. RGB or RGBA has its samples in a last axis of 3 or 4."
)


@dataclass(frozen=True, eq=False)
class Numbers:
    """What an array file holds.

    Attributes:
        shape: [T, H, W] or [T, D, H, W], followed by 3 or 4 for RGB or RGBA.
        dtype: Of the numbers.
        pieces: Starts one pass over the numbers: arrays of one axis, of `PIECE` numbers or fewer,
            the last index fastest.
        fortran: Whether the first index is the fastest.
        about: What else the file states: times_ms, spacing_mm, sector.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    pieces: Callable[[], Iterator[np.ndarray]]
    fortran: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Samples of a pixel: 1, or 3 or 4 of a colour."""
        last = self.shape[-1] if len(self.shape) > 3 else 1
        return last if last in _COLOURS else 1

    @property
    def grey_shape(self) -> tuple[int, ...]:
        """[T, H, W] or [T, D, H, W]."""
        return self.shape if self.samples == 1 else self.shape[:-1]

    def check(self, limit_bytes: int | None) -> None:
        """Refuse what is not grey or colour over time, or too large, before it is read.

        Raises:
            ArgumentError: Another number of axes, an empty one, or something else than numbers.
            TooLargeError: The grey frames exceed the limit.
        """
        shape = self.grey_shape
        if len(shape) not in (3, 4) or self.dtype.kind not in "uif" or 0 in shape:
            raise ArgumentError(
                "frames [T, D, H, W] or [T, H, W] of numbers", f"{self.dtype} {list(self.shape)}"
            )
        if self.fortran and self.samples > 1:
            raise ArgumentError("colours whose samples lie together (C order)", "Fortran order")
        count = int(np.prod([int(side) for side in shape[:-2]], dtype=object))
        check_size(count, shape[-2], shape[-1], limit_bytes)


def pieces_of(read: Callable[[int], bytes], dtype: np.dtype, count: int) -> Iterator[np.ndarray]:
    """`count` numbers from a stream of bytes, `PIECE` at a time.

    Args:
        read: Returns that many bytes; fewer only at the end.
        dtype: Of the numbers.
        count: How many there are.

    Raises:
        EOFError: The stream ends early.
    """
    left = count
    while left:
        wanted = min(left, PIECE)
        data = read(wanted * dtype.itemsize)
        if len(data) < wanted * dtype.itemsize:
            raise EOFError
        yield np.frombuffer(data, dtype)
        left -= wanted
