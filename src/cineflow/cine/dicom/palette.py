"""Palettes: from stored index to grey (PS3.3 C.7.9).

Entries are 8 or 16 bits. Scanners also store 8-bit entries in 16-bit words, some of them while the
descriptor says 16 bits, so the entries are scaled by what they hold.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydicom.dataset import Dataset

from cineflow.cine.errors import DecodeError

_COLOURS = ("Red", "Green", "Blue")
_LONGEST = 65536


def palette_of(header: Dataset, big_endian: bool, signed: bool) -> tuple[np.ndarray, int]:
    """The colours of an object's palette.

    Args:
        header: The object.
        big_endian: Whether it stores words with the most significant byte first.
        signed: Whether its pixels are signed.

    Returns:
        uint8 [N, 3] (red, green, blue), and the stored value of the first entry.

    Raises:
        DecodeError: A colour is missing, or the entries do not fit their description.
    """
    tables, firsts = [], set()
    for colour in _COLOURS:
        descriptor = header.get(f"{colour}PaletteColorLookupTableDescriptor")
        data = header.get(f"{colour}PaletteColorLookupTableData")
        segments = header.get(f"Segmented{colour}PaletteColorLookupTableData")
        if descriptor is None or len(descriptor) != 3 or not (data or segments):
            raise _wrong(f"no {colour.lower()} entries")
        count, first, bits = (int(value) for value in descriptor)
        count = (count & 0xFFFF) or _LONGEST
        firsts.add(first - 65536 if signed and first > 32767 else first & 0xFFFF)
        if signed and first < 0:
            firsts = {first}
        if data:
            tables.append(_entries(data, count, bits, big_endian))
        else:
            order = ">" if big_endian else "<"
            kind = "u1" if bits == 8 else f"{order}u2"
            codes = np.frombuffer(segments, kind).tolist()
            tables.append(np.array(_expand(codes, count, bits == 8, big_endian), np.uint16))
    if len(firsts) != 1 or len({len(table) for table in tables}) != 1:
        raise _wrong("tables of the three colours that differ in size")
    colours = np.stack(tables, axis=1)
    if colours.max() > 255:
        colours = colours >> 8
    return colours.astype(np.uint8), firsts.pop()


def luma_of(colours: np.ndarray) -> np.ndarray:
    """Luma (BT.601) of colours uint8 [N, 3], uint8 [N]."""
    return cv2.cvtColor(colours[:, None], cv2.COLOR_RGB2GRAY)[:, 0]


def _entries(data: bytes, count: int, bits: int, big_endian: bool) -> np.ndarray:
    if len(data) >= 2 * count:
        return np.frombuffer(data, ">u2" if big_endian else "<u2", count).astype(np.uint16)
    if len(data) < count or bits > 8:
        raise _wrong(f"{len(data)} bytes for {count} entries of {bits} bits")
    packed = np.frombuffer(data, np.uint8)
    if big_endian and packed.size % 2 == 0:  # two entries share a word
        packed = packed.reshape(-1, 2)[:, ::-1].reshape(-1)
    return packed[:count].astype(np.uint16)


def _expand(codes: list[int], count: int, bytewise: bool, big_endian: bool) -> list[int]:
    """Entries of a segmented table (PS3.3 C.7.9.2), `count` of them."""
    out: list[int] = []

    def run(at: int, most: int | None) -> None:
        done = 0
        while at + 2 < len(codes) + (most is not None) and (most is None or done < most):
            code, length = codes[at], codes[at + 1]
            at += 2
            if code == 0:
                out.extend(codes[at : at + length])
                at += length
            elif code == 1 and out and length:
                line = np.linspace(out[-1], codes[at], length + 1)[1:]
                out.extend(int(value) for value in np.rint(line))
                at += 1
            elif code == 2 and most is None and out:
                if bytewise:
                    low, high = codes[at : at + 2], codes[at + 2 : at + 4]
                    parts = [*low, *high] if not big_endian else [low[1], low[0], high[1], high[0]]
                    target = int.from_bytes(bytes(parts), "little")
                    at += 4
                else:
                    target = (codes[at + 1] << 16 | codes[at]) // 2
                    at += 2
                run(target, length)
            else:
                raise _wrong("segments that cannot be expanded")
            done += 1
            if len(out) > count:
                raise _wrong(f"segments that give more than {count} entries")

    try:
        run(0, None)
    except IndexError as error:
        raise _wrong("segments that end early") from error
    if len(out) != count:
        raise _wrong(f"segments that give {len(out)} of {count} entries")
    return out


def _wrong(got: str) -> DecodeError:
    return DecodeError(
        "a palette for PALETTE COLOR pixels",
        got,
        "The object is incomplete. Export the clip again, in grey or RGB.",
    )
