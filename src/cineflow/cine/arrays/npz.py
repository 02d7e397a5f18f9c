"""The members of a .npz file. The frames are streamed, whether they are compressed or not."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from cineflow.cine.arrays.numbers import Numbers, pieces_of
from cineflow.errors import ArgumentError

_FRAMES = "frames.npy"
_OTHERS = ("times_ms", "spacing_mm", "sector")


def read_npz(path: Path) -> Numbers:
    """The frames of a .npz file, and its times, spacing and sector.

    Raises:
        ArgumentError: It has no `frames`, or another array is larger than frames can need.
        Exception: Many types, where the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if _FRAMES not in names:
            raise ArgumentError("the array `frames`", "none")
        with archive.open(_FRAMES) as member:
            shape, fortran, dtype = _header(member)
        # A sector has a frame's size, and there is a time for each frame.
        most = 8 * (sum(shape[:1]) + int(np.prod([1, *shape[1:]], dtype=object)) + 3)
        about = {}
        for name in _OTHERS:
            if f"{name}.npy" not in names:
                continue
            with archive.open(f"{name}.npy") as member:
                size, _, kind = _header(member)
            if int(np.prod([1, *size], dtype=object)) * kind.itemsize > most:
                raise ArgumentError(f"{name} that fits the frames", f"{kind} {list(size)}")
            with archive.open(f"{name}.npy") as member:
                about[name] = np.lib.format.read_array(member, allow_pickle=False)

    def pieces() -> Iterator[np.ndarray]:
        with zipfile.ZipFile(path) as archive, archive.open(_FRAMES) as member:
            _header(member)
            yield from pieces_of(member.read, dtype, int(np.prod(shape)))

    return Numbers(shape, dtype, pieces, fortran, about)


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type, which the header of a .npy member states."""
    version = np.lib.format.read_magic(member)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(member)
    return tuple(int(side) for side in shape), bool(fortran) and len(shape) > 1, dtype
