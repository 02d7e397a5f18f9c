"""The stored frames of an object: how many there are, and the bytes of each, read when needed.

NumberOfFrames is a claim. The number of frames is counted from what is stored: whole frames of
uncompressed pixels, or the code streams among the fragments (PS3.5 A.4).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cineflow.cine.dicom.header import Opened, contradiction, truncated
from cineflow.cine.limits import check_count

_ITEM, _END = 0xFFFEE000, 0xFFFEE0DD
# The first bytes of a code stream: JPEG and JPEG-LS, JPEG 2000, and JPEG 2000 in its file format.
_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")

Piece = tuple[int, int]
"""(offset, length) in bytes."""


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames that an object stores.

    Attributes:
        opened: The object.
        pieces: For each frame, the parts of the file that hold it.
        note: What NumberOfFrames and the stored frames disagree about, or "".
    """

    opened: Opened
    pieces: Sequence[Sequence[Piece]]
    note: str = ""

    def __len__(self) -> int:
        return len(self.pieces)

    def read(self, index: int) -> bytes:
        """The stored bytes of one frame.

        Raises:
            TruncatedError: The file ends inside the frame.
        """
        parts = [self._part(offset, length, index) for offset, length in self.pieces[index]]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, offset: int, length: int, index: int) -> bytes:
        opened = self.opened
        # Two bytes share a word, and the second comes first. A frame may begin inside a word.
        swapped = opened.big_endian and opened.words and opened.layout.allocated == 8
        before = (offset - opened.start) % 2 if swapped else 0
        wanted = before + length + ((before + length) % 2 if swapped else 0)
        opened.file.seek(offset - before)
        part = opened.file.read(wanted)
        if len(part) < wanted:
            raise truncated(f"{len(part)} of the {wanted} bytes of a part of frame {index + 1}")
        if swapped:
            part = np.frombuffer(part, "<u2").byteswap().tobytes()[before : before + length]
        return part


def find_frames(opened: Opened) -> Frames:
    """Find the frames of an object.

    Raises:
        TruncatedError: Fewer frames than NumberOfFrames states, or broken fragments.
        TooLargeError: More frames than a clip may have.
    """
    frames = _encapsulated(opened) if opened.syntax.is_encapsulated else _native(opened)
    check_count(len(frames))
    return frames


def fragments_of(opened: Opened) -> list[Piece]:
    """The fragments of encapsulated pixels, whatever frames they belong to.

    Raises:
        TruncatedError: Broken fragments.
    """
    return _fragments(opened)[1]


def frame_bytes(opened: Opened) -> int:
    """Bytes of one uncompressed frame."""
    layout = opened.layout
    pixels = layout.rows * layout.columns
    if layout.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):  # two chroma for two pixels
        if layout.columns % 2:
            raise contradiction(f"{layout.photometric} in {layout.columns} columns, an odd number")
        return pixels * 2 * layout.allocated // 8
    return pixels * layout.samples * layout.allocated // 8


def _native(opened: Opened) -> Frames:
    size, available = frame_bytes(opened), opened.available
    length = available if opened.length is None else opened.length
    wanted = max((opened.stated or 1) * size, length - 1)  # a byte may pad an odd length
    if available < wanted:
        raise truncated(f"{available} of {wanted} bytes of pixels")
    if length < wanted:
        raise truncated(f"{length} of {wanted} bytes of pixels")
    # Whole frames beyond the stated ones are frames. Anything else is padding.
    stored = length // size if length % size <= 1 else opened.stated or 1
    pieces = _Even(opened.start, size, stored)
    left = length - stored * size
    note = _disagreement(opened.stated, stored)
    if left > 1:
        note = f"{left} bytes after the last frame were left out."
    return Frames(opened, pieces, note)


@dataclass(frozen=True)
class _Even(Sequence[Sequence[Piece]]):
    """Frames of one size, one after the other, without a list of them."""

    start: int
    size: int
    frames: int

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: int) -> Sequence[Piece]:  # type: ignore[override]
        if not 0 <= index < self.frames:
            raise IndexError(index)
        return [(self.start + index * self.size, self.size)]


def _encapsulated(opened: Opened) -> Frames:
    offsets, fragments = _fragments(opened)
    if not fragments:
        raise truncated("no fragments of pixel data")
    pieces: list[list[Piece]]
    if len(offsets) > 1 or (offsets and opened.stated == 1):
        pieces = _by_offset(offsets, fragments)
    elif opened.stated is not None and len(fragments) == opened.stated:
        pieces = [[fragment] for fragment in fragments]
    else:
        pieces = _by_start(opened, fragments)
    stated = opened.stated or 1
    if len(pieces) < stated:
        raise truncated(f"{len(pieces)} of {stated} frames")
    return Frames(opened, pieces, _disagreement(opened.stated, len(pieces)))


def _fragments(opened: Opened) -> tuple[list[int], list[Piece]]:
    """Offsets of the frames from the first fragment, as the table states; and the fragments."""
    file, at, end = opened.file, opened.start, opened.start + opened.available
    offsets: list[int] = []
    fragments: list[Piece] = []
    first = True
    while True:
        file.seek(at)
        head = file.read(8)
        check_count(len(fragments))
        if len(head) < 8:
            raise truncated(f"the end of the file after {len(fragments)} fragments of pixel data")
        group, element, length = struct.unpack("<HHI", head)
        tag, at = group << 16 | element, at + 8
        if tag == _END:
            return offsets, fragments
        if tag != _ITEM:
            raise truncated("broken fragments of pixel data")
        if length > end - at:
            raise truncated(f"{end - at} of the {length} bytes of a fragment of pixel data")
        if first:
            table = file.read(length)
            offsets = list(struct.unpack(f"<{length // 4}I", table[: length // 4 * 4]))
            first = False
        elif length:
            fragments.append((at, length))
        at += length


def _by_offset(offsets: list[int], fragments: list[Piece]) -> list[list[Piece]]:
    """Group fragments by the offsets of their frames, counted from the first fragment's item."""
    base = fragments[0][0] - 8
    starts = {at - 8 - base for at, _ in fragments}
    if offsets != sorted(set(offsets)) or not set(offsets) <= starts or offsets[0] != 0:
        raise truncated("an offset table that does not fit the fragments")
    limits = [*offsets[1:], float("inf")]
    pieces: list[list[Piece]] = [[] for _ in offsets]
    frame = 0
    for at, length in fragments:
        while at - 8 - base >= limits[frame]:
            frame += 1
        pieces[frame].append((at, length))
    return pieces


def _by_start(opened: Opened, fragments: list[Piece]) -> list[list[Piece]]:
    """Group fragments without an offset table: a frame begins where a code stream begins."""
    if opened.syntax.name == "RLE Lossless":  # one fragment per frame (PS3.5 A.4.2)
        return [[fragment] for fragment in fragments]
    pieces: list[list[Piece]] = []
    for at, length in fragments:
        opened.file.seek(at)
        if opened.file.read(6).startswith(_STARTS) or not pieces:
            pieces.append([])
        pieces[-1].append((at, length))
    return pieces


def _disagreement(stated: int | None, stored: int) -> str:
    if stated == stored or (stated is None and stored == 1):
        return ""
    says = "is missing" if stated is None else f"states {stated}"
    return f"NumberOfFrames {says}, but {stored} frames are stored. All of them were read."
