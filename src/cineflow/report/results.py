"""ResultFile: what a stream gave, as one .npz file of named arrays.

Rows are kept on disk until the file is written, so that a long clip's fields do not fill the
memory. NumPy reads the file without cineflow: `numpy.load(path)["labels"]`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

#: Arrays below this size stay in memory.
_SPOOLED_BYTES = 1 << 18

#: Entry of the file that holds units and provenance, as JSON.
ABOUT = "about"


def _spooled() -> IO[bytes]:
    """A file without a name: it ends with the process, however that ends."""
    return tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES)


@dataclass
class _Rows:
    """One array per row, of one dtype."""

    dtype: np.dtype
    file: IO[bytes] = field(default_factory=_spooled)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def add(self, frame: int, array: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(array, self.dtype).tobytes())
        self.shapes.append(array.shape)
        self.frames.append(frame)

    @property
    def equal(self) -> bool:
        return len(set(self.shapes)) == 1

    def header(self) -> np.ndarray:
        """An array of the stack's shape and dtype that takes no memory."""
        return np.broadcast_to(np.zeros((), self.dtype), (len(self.shapes), *self.shapes[0]))

    def stacked(self) -> np.ndarray:
        """Rows of different sizes as one array; the smaller ones are filled with zeros."""
        most = np.max(self.shapes, axis=0)
        stack = np.zeros((len(self.shapes), *most), self.dtype)
        for target, row in zip(stack, self, strict=True):
            target[tuple(slice(size) for size in row.shape)] = row
        return stack

    def __iter__(self) -> Iterator[np.ndarray]:
        self.file.seek(0)
        for shape in self.shapes:
            count = int(np.prod(shape)) * self.dtype.itemsize
            yield np.frombuffer(self.file.read(count), self.dtype).reshape(shape)


class ResultFile:
    """Collects the arrays of each frame and writes them as one file.

    The file has for every name `x` the rows [N, ...] and `x.frame`, int64 [N], the frames that they
    belong to: an output does not come with every frame of a pair or a window. Where rows differ in
    size, `x.shape` has the size of each and the rest is zeros.
    """

    def __init__(self) -> None:
        self._rows: dict[str, _Rows] = {}

    def add(self, frame: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Add the arrays of a frame, by name."""
        for name, array in arrays.items():
            rows = self._rows.setdefault(name, _Rows(np.asarray(array).dtype))
            rows.add(frame, np.asarray(array))

    def rows(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Frame and array of each row of one name, in order; nothing where it was never added."""
        rows = self._rows.get(name)
        if rows is not None:
            yield from zip(rows.frames, rows, strict=True)

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the file.

        Args:
            path: The .npz file; its folder exists.
            about: Units and provenance. They are stored as JSON in the entry `about`, a text.
        """
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            _put(archive, ABOUT, np.array(json.dumps(about)))
            for name, rows in self._rows.items():
                _put(archive, f"{name}.frame", np.array(rows.frames, np.int64))
                if rows.equal:
                    with _entry(archive, name) as entry:
                        _write_header(entry, rows.header())
                        rows.file.seek(0)
                        shutil.copyfileobj(rows.file, entry)
                else:
                    _put(archive, f"{name}.shape", np.array(rows.shapes, np.int64))
                    _put(archive, name, rows.stacked())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write single arrays, as the outputs of a call, with the entry `about`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _put(archive, ABOUT, np.array(json.dumps(about)))
        for name, array in arrays.items():
            _put(archive, name, array)


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(f"{name}.npy", "w", force_zip64=True)


def _put(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with _entry(archive, name) as entry:
        np.lib.format.write_array(entry, array, allow_pickle=False)


def _write_header(entry: IO[bytes], array: np.ndarray) -> None:
    described = np.lib.format.header_data_from_array_1_0(array)
    described["fortran_order"] = False
    np.lib.format.write_array_header_1_0(entry, described)
