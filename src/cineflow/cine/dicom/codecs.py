"""Stored bytes of one frame to stored values, through libraries that are not GPL.

Uncompressed and RLE are decoded here, JPEG of 8 bits by Pillow and of 9 to 16 bits by imagecodecs
(both with libjpeg-turbo), JPEG-LS by pyjpegls (CharLS), JPEG 2000 and HTJ2K by pylibjpeg-openjpeg
(OpenJPEG). The size that a code stream states is compared
with the tags before it is decoded, so that a small file cannot ask for a large allocation.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cineflow.cine.dicom.header import Layout, Opened, truncated
from cineflow.cine.dicom.rle import decode_rle
from cineflow.cine.errors import DecodeError
from cineflow.errors import CineError, MissingDependencyError

_UID = "1.2.840.10008.1.2"
JPEG = {f"{_UID}.4.{number}" for number in (50, 51, 53, 55, 57, 70)}
_JPEG_LS = {f"{_UID}.4.80", f"{_UID}.4.81"}
_JPEG_2000 = {f"{_UID}.4.{number}" for number in (90, 91, 92, 93, 201, 202, 203)}
_RLE = f"{_UID}.5"
#: MPEG-2, MPEG-4 AVC/H.264 and HEVC: the fragments are one video.
VIDEO = {f"{_UID}.4.{number}" for number in range(100, 109)} | {
    f"{_UID}.4.{number}.1" for number in range(100, 107)
}
#: Starts of frame of JPEG with Huffman codes: baseline, extended, progressive, lossless.
_HUFFMAN = (0xC0, 0xC1, 0xC2, _LOSSLESS := 0xC3)
_STARTS_OF_FRAME = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))


@dataclass(frozen=True)
class Stream:
    """What a code stream says about itself.

    Attributes:
        rows: Height, px.
        columns: Width, px.
        samples: Components.
        bits: Bits of a component.
        process: Number of JPEG's start-of-frame marker; 0 for other codes.
        transform: The colour transform of JPEG's Adobe marker: 0 for RGB, 1 for YCbCr; None
            without the marker.
    """

    rows: int
    columns: int
    samples: int
    bits: int
    process: int = 0
    transform: int | None = None


def decode(data: bytes, opened: Opened) -> np.ndarray:
    """Decode one frame.

    Args:
        data: Its stored bytes.
        opened: The object.

    Returns:
        Stored values [H, W] or [H, W, 3], in the container's type. The luma and chroma of JPEG stay
        as they are; JPEG 2000's colour transform is undone.

    Raises:
        DecodeError: No library decodes this code, or the code stream does not fit the tags.
        TruncatedError: The code stream ends early.
    """
    syntax, layout = opened.syntax, opened.layout
    try:
        if not syntax.is_encapsulated:
            return _native(data, opened)
        if syntax == _RLE:
            return decode_rle(data, layout)
        stream = check_stream(data, opened)
        if syntax in JPEG and stream.bits > 8:
            return _deep_jpeg(data)
        if syntax in JPEG:
            return jpeg_values(data, "L" if layout.samples == 1 else "YCbCr")
        if syntax in _JPEG_LS:
            return _jpeg_ls(data, layout)
        return _jpeg_2000(data)
    except (CineError, MissingDependencyError):
        raise
    except Exception as error:  # the decoders raise many types on damaged code
        raise broken(opened, error) from error


def broken(opened: Opened, error: Exception) -> CineError:
    """The typed error for what a decoder raised. Its text may hold addresses, so it is not kept."""
    text = str(error).lower()
    if "truncated" in text or "cut short" in text:
        return truncated("a frame that cannot be decoded (its code stream is truncated)")
    why = str(error) if opened.syntax == _RLE else f"{type(error).__name__} in its decoder"
    return DecodeError(
        "frames whose code can be decoded",
        f"{opened.syntax.name}: a damaged frame ({why})",
        "The copy is damaged. Fetch it again.",
    )


def check_stream(data: bytes, opened: Opened) -> Stream:
    """What the code stream says about itself, if it can be decoded and fits the tags."""
    syntax, layout = opened.syntax, opened.layout
    if syntax in _JPEG_2000:
        stream = _size_of_jpeg_2000(data)
    elif syntax in JPEG | _JPEG_LS:
        stream = _size_of_jpeg(data)
    else:
        raise DecodeError(
            "uncompressed pixels, RLE, JPEG, JPEG-LS, JPEG 2000 or HTJ2K",
            f"pixels as {syntax.name}",
            "Export the clip in one of these transfer syntaxes.",
        )
    if stream is None:
        raise DecodeError(
            f"frames as {syntax.name}",
            "a frame that is not such a code stream",
            "The copy is damaged, or the transfer syntax is wrong. Export the clip again.",
        )
    wanted = (layout.rows, layout.columns, layout.samples)
    if (stream.rows, stream.columns, stream.samples) != wanted:
        raise DecodeError(
            f"frames of {layout.rows}x{layout.columns} with {layout.samples} samples, as tagged",
            f"a code stream of {stream.rows}x{stream.columns} with {stream.samples}",
            "The object contradicts itself. Export the clip again.",
        )
    if syntax in JPEG and not _decodes(stream, layout):
        colour = " of colour" if stream.samples > 1 else ""
        code = "" if stream.process in _HUFFMAN else ", with arithmetic or hierarchical code"
        raise DecodeError(
            "JPEG with Huffman codes: of 8 bits, or grey of 12 bits or lossless of 9 to 16",
            f"{syntax.name} of {stream.bits} bits{colour}{code}, tagged as {layout.allocated} bits",
            "No library that cineflow installs decodes it. "
            "Convert it with DCMTK: dcmdjpeg IN.dcm OUT.dcm.",
        )
    return stream


def _decodes(stream: Stream, layout: Layout) -> bool:
    """Whether a library decodes this JPEG, and what it gives fits the container."""
    if stream.process not in _HUFFMAN or stream.bits > layout.allocated:
        return False
    if stream.bits == 8:
        return True
    deep = range(9, 17) if stream.process == _LOSSLESS else (12,)
    return stream.samples == 1 and stream.bits in deep


def jpeg_values(data: bytes, mode: str, shrink: int = 1) -> np.ndarray:
    """A JPEG frame of 8 bits, uint8 [H, W] or [H, W, 3].

    Args:
        data: The code stream.
        mode: What libjpeg makes of the components: "L", the luma; "YCbCr", which leaves three
            components as they are, whatever their colours; "RGB", for an Adobe marker that says so.
        shrink: 1, 2, 4 or 8: how much smaller the result may be.

    Raises:
        OSError: The code stream is damaged or ends early.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if mode != "RGB":
            image.draft(mode, (max(1, image.width // shrink), max(1, image.height // shrink)))
        return np.asarray(image)


def _deep_jpeg(data: bytes) -> np.ndarray:
    """A grey JPEG frame of 9 to 16 bits, uint16 [H, W]."""
    try:
        from imagecodecs import jpeg8_decode  # only objects with this code need it
    except ImportError as error:
        raise MissingDependencyError(
            "the package imagecodecs, for JPEG of more than 8 bits",
            "it is not installed",
            "`pip install 'cineflow[jpeg]'`, or convert it with DCMTK: dcmdjpeg IN.dcm OUT.dcm",
        ) from error
    return np.asarray(jpeg8_decode(data))


def _native(data: bytes, opened: Opened) -> np.ndarray:
    layout = opened.layout
    order = ">" if opened.big_endian else "<"
    values = np.frombuffer(data, f"{order}u{layout.allocated // 8}")
    shape = (layout.rows, layout.columns)
    if layout.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):  # Y Y Cb Cr
        quads = values.reshape(layout.rows, -1, 4)
        luma, chroma = quads[..., :2].reshape(shape), np.repeat(quads[..., 2:], 2, axis=1)
        return np.dstack([luma, chroma])
    if layout.samples == 1:
        return values.reshape(shape)
    if layout.planar:
        return np.moveaxis(values.reshape(layout.samples, *shape), 0, -1)
    return values.reshape(*shape, layout.samples)


def _jpeg_ls(data: bytes, layout: Layout) -> np.ndarray:
    import jpeg_ls  # only objects with this code need it

    raw, about = jpeg_ls.decode_pixel_data(data)
    width = (about["bits_per_sample"] + 7) // 8
    values = np.frombuffer(raw, f"<u{width}")
    shape = (layout.rows, layout.columns)
    if layout.samples == 1:
        return values.reshape(shape)
    if about["interleave_mode"] == 0:  # plane by plane
        return np.moveaxis(values.reshape(layout.samples, *shape), 0, -1)
    return values.reshape(*shape, layout.samples)


def _jpeg_2000(data: bytes) -> np.ndarray:
    from openjpeg.utils import decode as decode_code_stream  # only objects with this code need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a JP2 header around the code stream
        return np.asarray(decode_code_stream(data))


def _size_of_jpeg(data: bytes) -> Stream | None:
    """The frame header of JPEG (SOF) or JPEG-LS (SOF55); None if it is missing."""
    if data[:2] != b"\xff\xd8":
        return None
    at, transform = 2, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if marker in _STARTS_OF_FRAME or marker == 0xF7:
            if at + 10 > len(data):
                return None
            bits, rows, columns, samples = struct.unpack(">BHHB", data[at + 4 : at + 10])
            return Stream(rows, columns, samples, bits, marker, transform)
        if marker == 0xDA or length < 2:  # the scan has begun
            return None
        if marker == 0xEE and data[at + 4 : at + 9] == b"Adobe" and length >= 14:
            transform = data[at + 15]
        at += 2 + length
    return None


def _size_of_jpeg_2000(data: bytes) -> Stream | None:
    """The SIZ segment of JPEG 2000; None if it is missing."""
    at = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at < 0 or len(data) < at + 43:
        return None
    x1, y1, x0, y0 = struct.unpack(">4I", data[at + 8 : at + 24])
    samples, depth = struct.unpack(">HB", data[at + 40 : at + 43])
    return Stream(y1 - y0, x1 - x0, samples, (depth & 0x7F) + 1)
