"""Open a DICOM file up to its pixels: the tags, how a pixel is stored, and where the pixels start.

The pixels stay in the file. They are read frame by frame, so that a large object does not have to
fit into memory.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from cineflow.cine.errors import (
    DecodeError,
    NoPixelDataError,
    NotDicomError,
    TooLargeError,
    TruncatedError,
)

_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA, _FLOATS, _DOUBLES = 0x7FE00010, 0x7FE00008, 0x7FE00009
_MOST_INFLATED, _PIECE = 512 * 2**20, 2**20
_UID = re.compile(r"[0-9.]{1,64}")
_MOST_FRAMES = 2**31 - 1  # NumberOfFrames is an integer string


@dataclass(frozen=True)
class Layout:
    """How one pixel is stored (PS3.3 C.7.6.3).

    Attributes:
        rows: Height of a frame, px.
        columns: Width of a frame, px.
        samples: Samples per pixel: 1 or 3.
        photometric: PhotometricInterpretation.
        allocated: Bits that a sample takes: 8, 16 or 32.
        stored: Bits of them that hold the value.
        high: Position of the highest of them.
        signed: Whether values are in two's complement.
        planar: Whether the samples of a frame are stored plane by plane.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: bool


@dataclass(frozen=True, eq=False)
class Opened:
    """A DICOM object up to its pixels.

    Attributes:
        header: The tags before the pixels.
        file: Where the pixels are.
        start: Offset of the pixels' first byte, or of the first item if they are encapsulated.
        length: Bytes of pixels; None if the object does not state it.
        words: Whether the pixels are 16-bit words (VR OW).
        layout: How a pixel is stored.
        stated: NumberOfFrames; None if it is absent.
    """

    header: Dataset
    file: BinaryIO
    start: int
    length: int | None
    words: bool
    layout: Layout
    stated: int | None

    @property
    def syntax(self) -> pydicom.uid.UID:
        """The transfer syntax."""
        return self.header.file_meta.TransferSyntaxUID

    @property
    def big_endian(self) -> bool:
        return not self.syntax.is_little_endian

    @property
    def available(self) -> int:
        """Bytes from `start` to the end of the file."""
        return self.file.seek(0, io.SEEK_END) - self.start


def open_tags(file: BinaryIO) -> tuple[Dataset, BinaryIO]:
    """The tags before the pixels, and the stream whose position is the element of the pixels.

    Raises:
        NotDicomError: The DICM prefix is missing.
        TruncatedError: The file ends inside the tags.
        TooLargeError: A deflated object becomes too large.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            inside = _inflated(file)
            if inside is None:
                header = pydicom.dcmread(file, stop_before_pixels=True)
            else:
                file, header = inside, pydicom.dcmread(inside, stop_before_pixels=True, force=True)
                header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        except InvalidDicomError:
            raise NotDicomError(
                "a DICOM file",
                "a file without the DICM prefix",
                "Give a DICOM part-10 file, or one of the other formats of docs/files.md.",
            ) from None
        except TooLargeError:
            raise
        except Exception as error:  # pydicom raises many types on damaged bytes
            raise truncated(f"{type(error).__name__} while reading the tags") from error
    # If the file ends inside an element, pydicom warns and returns what it has read.
    if any("End of file" in str(warning.message) for warning in caught):
        raise truncated("the end of the file inside an element")
    for element in header.values():
        length, value = getattr(element, "length", None), getattr(element, "value", None)
        if length not in (None, _UNDEFINED) and isinstance(value, bytes) and len(value) < length:
            raise truncated(f"{len(value)} of the {length} bytes of element {element.tag}")
    return header, file


def open_pixels(header: Dataset, file: BinaryIO) -> Opened:
    """Find the pixels of an object whose tags have been read.

    Raises:
        NoPixelDataError: The element of the pixels is missing.
        TruncatedError: The description of the picture is missing or cannot be read.
        DecodeError: The description contradicts itself, or no transfer syntax is stated.
    """
    place = _find_pixels(header, file)
    if place is None:
        raise NoPixelDataError(
            "a DICOM object with pixel data",
            "an object without pixel data",
            "It is a header without a picture, or the file was cut short.",
        )
    start, length, words = place
    if header.file_meta.get("TransferSyntaxUID") is None:
        raise DecodeError(
            "a transfer syntax", "an object that does not state it", "Export the clip again."
        )
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax:
        uid = str(syntax) if _UID.fullmatch(syntax) else "something else"
        raise DecodeError(
            "a transfer syntax of the standard",
            f"{uid}, which is not known here: a vendor's own, or newer",
            "Export the clip uncompressed (Explicit VR Little Endian).",
        )
    layout = _layout(header)
    return Opened(header, file, start, length, words, layout, stated_frames(header))


def stated_frames(header: Dataset) -> int | None:
    """NumberOfFrames; None if it is absent or not a number."""
    value = header.get("NumberOfFrames")
    with suppress(TypeError, ValueError):
        count = int(value)
        if 1 <= count <= _MOST_FRAMES:
            return count
    return None


def truncated(got: str) -> TruncatedError:
    return TruncatedError(
        "a complete DICOM file", got, "The copy is damaged or was cut short. Fetch it again."
    )


def contradiction(got: str) -> DecodeError:
    return DecodeError(
        "a description of the picture that agrees with itself",
        got,
        "The tags are wrong, so the pixels cannot be told. Export the clip again.",
    )


def _layout(header: Dataset) -> Layout:
    absent = [name for name in ("Rows", "Columns", "BitsAllocated") if header.get(name) is None]
    if absent:
        raise truncated(f"an object without {' and '.join(absent)}")
    try:
        rows, columns = int(header.Rows), int(header.Columns)
        samples = int(header.get("SamplesPerPixel", 1))
        allocated = int(header.BitsAllocated)
        stored = int(header.get("BitsStored", allocated))
        high = int(header.get("HighBit", stored - 1))
        signed = bool(int(header.get("PixelRepresentation", 0)))
        planar = bool(int(header.get("PlanarConfiguration") or 0)) and samples > 1
    except (AttributeError, TypeError, ValueError) as error:
        what = f"a picture description that cannot be read ({type(error).__name__})"
        raise truncated(what) from error
    if rows < 1 or columns < 1:
        raise contradiction(f"a picture of {rows}x{columns} pixels")
    if samples not in (1, 3):
        raise contradiction(f"{samples} samples per pixel; a cine has 1 or 3")
    if allocated not in (8, 16, 32):
        raise DecodeError(
            "samples of 8, 16 or 32 bits",
            f"samples of {allocated} bit{'s' if allocated != 1 else ''}",
            "Export the clip with 8 bits per sample.",
        )
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise contradiction(f"{stored} bits stored up to bit {high} of {allocated} bits")
    photometric = str(header.get("PhotometricInterpretation", "")).strip()
    return Layout(rows, columns, samples, photometric, allocated, stored, high, signed, planar)


def _find_pixels(header: Dataset, file: BinaryIO) -> tuple[int, int | None, bool] | None:
    """(first byte, length or None, whether words) of the pixels at the file's position."""
    little, implicit = header.original_encoding[1], header.original_encoding[0]
    order = "<" if little or little is None else ">"
    element = file.read(8)
    if len(element) < 8:
        return None
    group, number = struct.unpack(f"{order}HH", element[:4])
    if (group << 16 | number) not in (_PIXEL_DATA, _FLOATS, _DOUBLES):
        return None
    if (group << 16 | number) != _PIXEL_DATA:
        raise contradiction("pixels that are floating-point numbers, as a parametric map has them")
    words = True
    if implicit or not element[4:6].isalpha():
        (length,) = struct.unpack(f"{order}I", element[4:])
    else:
        words = element[4:6] == b"OW"
        more = file.read(4)
        if len(more) < 4:
            raise truncated("the end of the file at the pixels")
        (length,) = struct.unpack(f"{order}I", more)
    return file.tell(), None if length == _UNDEFINED else length, words


def _inflated(file: BinaryIO) -> BinaryIO | None:
    """The data set of a deflated object, inflated; None for other objects.

    pydicom would inflate any size.
    """
    start = file.read(132)
    syntax = ""
    while start[128:] == b"DICM":  # the elements of group 2 are explicit and little endian
        at, head = file.tell(), file.read(8)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            file.seek(at)
            break
        size = struct.unpack("<H", head[6:])[0]
        if head[4:6] in (b"OB", b"UN", b"SQ", b"OW"):
            size = struct.unpack("<I", (file.read(4) + bytes(4))[:4])[0]
        value = file.read(size)
        if head[2:4] == b"\x10\x00":
            syntax = value.decode("ascii", "replace").strip("\0 ")
    if syntax != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return None
    packed = file.read()
    inflater, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, packed
    while rest and not inflater.eof:  # the size first, in pieces that are thrown away
        size += len(inflater.decompress(rest, _PIECE))
        rest = inflater.unconsumed_tail
        if size > _MOST_INFLATED:
            raise TooLargeError(
                f"a deflated object of at most {_MOST_INFLATED >> 20} MiB",
                "a larger one",
                "Store it without deflation if it is sound.",
            )
    return io.BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed))
