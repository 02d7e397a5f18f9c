"""MetaImage (.mhd, .mha) and NRRD (.nrrd, .nhdr).

SimpleITK reads the headers. It would load all voxels at once, so they are streamed from the file
where they lie in one piece, as they are or deflated. Only the rare other encodings (text, hex,
bzip2, one file for each slice) go through SimpleITK.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cineflow.cine.arrays.numbers import PIECE, Numbers, pieces_of
from cineflow.cine.limits import check_size
from cineflow.errors import ArgumentError, MissingDependencyError

SUFFIXES = (".mhd", ".mha", ".nrrd", ".nhdr")
_NRRD = (".nrrd", ".nhdr")
_LONGEST_HEADER = 1 << 20  # bytes
_PACKED = 1 << 16  # bytes that are inflated at a time


@dataclass(frozen=True)
class _Voxels:
    """Where the voxels lie.

    Attributes:
        path: The file.
        offset: Of the first voxel, bytes.
        packed: Whether they are deflated (zlib or gzip).
        order: Byte order as in a NumPy type.
    """

    path: Path
    offset: int
    packed: bool
    order: str


def read_itk(path: Path, limit_bytes: int | None) -> Numbers:
    """The voxels of a file of x, y, z and time; or x, y and time where a NRRD file says so.

    Raises:
        ArgumentError: It has other axes, vectors that are not colours, or voxels elsewhere.
        MissingDependencyError: SimpleITK is not installed.
        TooLargeError: Voxels that have to be loaded at once exceed the limit.
        Exception: Many types, where the file is damaged.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingDependencyError(
            "SimpleITK, for .mhd and .nrrd files",
            "an environment without it",
            "pip install SimpleITK",
        ) from error

    header = _read_header(path)
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size = tuple(int(side) for side in reader.GetSize())
    spacing = [float(step) for step in reader.GetSpacing()]
    kinds = [
        reader.GetMetaData(key) if key in reader.GetMetaDataKeys() else ""
        for key in (f"NRRD_kinds[{axis}]" for axis in range(len(size)))
    ]
    if len(size) != 4 and not (len(size) == 3 and kinds[2] in ("time", "list")):
        raise ArgumentError(
            "the axes x, y, z and time",
            f"{list(size)}: a single volume, or images whose third axis is not said to be time",
        )
    samples = int(reader.GetNumberOfComponents())
    if samples not in (1, 3, 4):
        raise ArgumentError("grey levels or colours", f"vectors of {samples} numbers")
    one = SimpleITK.Image([1, 1], reader.GetPixelID(), samples if samples > 1 else 0)
    dtype = SimpleITK.GetArrayViewFromImage(one).dtype
    shape = (*size[::-1], *((samples,) if samples > 1 else ()))
    voxels = _find_voxels(path, header, size, samples)
    pieces: Callable[[], Iterator[np.ndarray]]
    if voxels is None:
        rows = dtype.itemsize * int(np.prod(shape[:-1], dtype=object))
        check_size(1, rows, shape[-1], limit_bytes)
        image = reader.Execute()

        def pieces() -> Iterator[np.ndarray]:
            whole = SimpleITK.GetArrayViewFromImage(image).reshape(-1)  # the image owns the memory
            for at in range(0, whole.size, PIECE):
                yield whole[at : at + PIECE]
    else:
        dtype = dtype.newbyteorder(voxels.order)

        def pieces() -> Iterator[np.ndarray]:
            with voxels.path.open("rb") as file:
                file.seek(voxels.offset)
                read = _Inflated(file).read if voxels.packed else file.read
                yield from pieces_of(read, dtype, int(np.prod(shape)))

    return Numbers(shape, dtype, pieces, about={"spacing_mm": spacing[: len(size) - 1][::-1]})


class _Inflated:
    """A deflated stream, inflated as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip

    def read(self, count: int) -> bytes:
        """That many bytes; fewer only at the end."""
        parts: list[bytes] = []
        while count and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._file.read(_PACKED)
            if not packed:
                break
            parts.append(self._inflater.decompress(packed, count))
            count -= len(parts[-1])
        return b"".join(parts)


@dataclass(frozen=True)
class _Header:
    """What a header says of its voxels.

    Attributes:
        fields: By the names of NRRD; None where a line is not a field.
        end: First byte after it.
    """

    fields: dict[str, str] | None
    end: int


def _read_header(path: Path) -> _Header:
    """Read a header, before SimpleITK opens the files that it names.

    Raises:
        ArgumentError: It names a file outside of its folder.
    """
    with path.open("rb") as file:
        fields = _nrrd_fields(file) if _is_nrrd(path) else _meta_fields(file)
        end = file.tell()
        if fields is not None and "data file" in fields:
            # The names of a list come after the header.
            _require_near([fields["data file"], *_lines(file.read(_LONGEST_HEADER))])
    return _Header(fields, end)


def _is_nrrd(path: Path) -> bool:
    return path.suffix.lower() in _NRRD


def _find_voxels(
    path: Path, header: _Header, size: tuple[int, ...], samples: int
) -> _Voxels | None:
    """Where voxels lie in one piece, in the order of `size`; None if they do not."""
    fields = header.fields
    if fields is None:
        return None
    wanted = [*([samples] if _is_nrrd(path) and samples > 1 else []), *size]
    try:
        if [int(side) for side in fields["sizes"].split()] != wanted:
            return None
    except (KeyError, ValueError):
        return None
    if any(fields.get(name, "0") != "0" for name in ("byte skip", "line skip")):
        return None
    packed = {"raw": False, "gzip": True, "gz": True}.get(fields.get("encoding", ""))
    if packed is None:
        return None
    order = {"big": ">", "little": "<"}[fields.get("endian", "little")]
    name = fields.get("data file")
    if name is None:
        return _Voxels(path, header.end, packed, order)
    # A list or a pattern names several files.
    other = path.parent / name
    return _Voxels(other, 0, packed, order) if other.is_file() else None


def _lines(text: bytes) -> list[str]:
    return [line.strip() for line in text.decode("latin-1").splitlines()]


def _require_near(names: Sequence[str]) -> None:
    """Refuse names of files outside of the header's folder: a header may come from a stranger."""
    if any(name.startswith("/") or ".." in Path(name).parts for name in names):
        raise ArgumentError("voxels in the header's own folder", "a header that names others")


def _nrrd_fields(file: IO[bytes]) -> dict[str, str] | None:
    """The fields of a NRRD header, after which `file` is at the voxels."""
    if not file.readline(_LONGEST_HEADER).startswith(b"NRRD"):
        return None
    fields = {}
    while line := file.readline(_LONGEST_HEADER):
        text = line.decode("latin-1").strip()
        if not text:  # a blank line ends the header
            break
        name, colon, value = text.partition(": ")
        if colon and not text.startswith("#"):
            fields[name.lower()] = value.strip()
            if value.startswith("LIST"):  # of files, to the end of the header
                break
    for other, name in (("datafile", "data file"), ("byteskip", "byte skip"),
                        ("lineskip", "line skip")):  # fmt: skip
        if other in fields:
            fields[name] = fields.pop(other)
    fields["encoding"] = fields.get("encoding", "").lower()
    return fields


def _meta_fields(file: IO[bytes]) -> dict[str, str] | None:
    """The same fields of a MetaImage header, after which `file` is at the voxels."""
    found = {}
    while line := file.readline(_LONGEST_HEADER):
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            return None
        found[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            break
    yes: Any = lambda name: found.get(name, "False").lower() in ("true", "1")  # noqa: E731
    plain = found.get("headersize", "0") == "0" and yes("binarydata")
    big = yes("binarydatabyteordermsb") or yes("elementbyteordermsb")
    fields = {
        "sizes": found.get("dimsize", ""),
        "encoding": ("gzip" if yes("compresseddata") else "raw") if plain else "other",
        "endian": "big" if big else "little",
    }
    if found.get("elementdatafile", "").upper() != "LOCAL":
        fields["data file"] = found.get("elementdatafile", "")
    return fields
