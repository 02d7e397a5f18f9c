"""RLE Lossless (PS3.5 G) with a bound: no segment may give more bytes than its plane holds.

pydicom's decoder expands a segment completely before it looks at the length, so that a small file
could fill the memory.
"""

from __future__ import annotations

import struct

import numpy as np

from cineflow.cine.dicom.header import Layout

_MOST_PADDING = 8  # bytes; the standard asks for an even length, so one would do


def decode_rle(data: bytes, layout: Layout) -> np.ndarray:
    """Decode one frame.

    Args:
        data: The fragment of the frame.
        layout: How its pixels are stored.

    Returns:
        Stored values, uint8, uint16 or uint32 [H, W] or [H, W, samples].

    Raises:
        ValueError: The segments do not give the frame's bytes.
    """
    width = layout.allocated // 8
    if len(data) < 64:
        raise ValueError("an RLE header that is cut short")
    count, *offsets = struct.unpack("<16I", data[:64])
    if count != layout.samples * width:
        raise ValueError(f"{count} RLE segments instead of {layout.samples * width}")
    ends = [*offsets[1:count], len(data)]
    pixels = layout.rows * layout.columns
    planes = np.empty((layout.samples, width, pixels), np.uint8)
    for index, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        if not 64 <= start <= end <= len(data):
            raise ValueError("RLE segments outside the fragment")
        sample, byte = divmod(index, width)
        # The most significant byte comes first.
        planes[sample, width - 1 - byte] = _segment(data[start:end], pixels)
    values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f"<u{width}")[..., 0]
    frame = values.reshape(layout.samples, layout.rows, layout.columns)
    return frame[0] if layout.samples == 1 else np.moveaxis(frame, 0, -1)


def _segment(data: bytes, size: int) -> np.ndarray:
    out = bytearray()
    at, end = 0, len(data)
    while at < end and len(out) < size:
        code = data[at]
        if code > 128:
            out += data[at + 1 : at + 2] * (257 - code)
            at += 2
        elif code < 128:
            out += data[at + 1 : at + 2 + code]
            at += 2 + code
        else:
            at += 1
    if len(out) < size:
        raise ValueError(f"truncated RLE data: {len(out)} of {size} bytes of a plane")
    if end - at > _MOST_PADDING:
        raise ValueError("an RLE segment that holds more than its plane")
    return np.frombuffer(out, np.uint8, size)
