"""Frames of an object as grey levels: one byte per pixel, decoded one at a time.

Colour becomes BT.601 luma. Where the file stores luma (YBR), that is taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pydicom.dataset import Dataset

from cineflow.cine.dicom import grey
from cineflow.cine.dicom.codecs import (
    JPEG,
    broken,
    check_stream,
    decode,
    jpeg_values,
)
from cineflow.cine.dicom.frames import Frames
from cineflow.cine.dicom.header import Layout, Opened
from cineflow.cine.dicom.palette import luma_of, palette_of
from cineflow.cine.errors import DecodeError
from cineflow.cine.limits import check_size
from cineflow.errors import CineError, MissingDependencyError

# A pixel is coloured when its channels differ by more than JPEG's chroma error.
_CHROMA_LEVELS = 24
# Colour lasts for many frames (flow), so not every frame is searched for it.
_COLOUR_STEP = 4
_MOST_STORED = 16  # bits of a grey value
_PARTIAL = (16, 219)  # luma of YBR_PARTIAL: offset and range


@dataclass(frozen=True, eq=False)
class Shown:
    """One frame and how it is displayed.

    Attributes:
        frames: The object that stores it.
        index: Its position there.
        scale: Its rescaling, if a functional group of its own states it.
        window: Its window, in the same way.
    """

    frames: Frames
    index: int
    scale: grey.Scale | None = None
    window: grey.Window | None = None

    @property
    def opened(self) -> Opened:
        return self.frames.opened


@dataclass(frozen=True, eq=False)
class Grey:
    """Decoded frames.

    Attributes:
        frames: uint8 [T, H, W].
        coloured: Pixels that are coloured in at least one frame, bool [H, W].
        notes: What was converted, as sentences for the user.
    """

    frames: np.ndarray
    coloured: np.ndarray
    notes: list[str]


def read_grey(shown: Sequence[Shown], limit_bytes: int | None = None) -> Grey:
    """Decode frames of one layout.

    Raises:
        TooLargeError: Their grey levels would exceed the limit.
        DecodeError: Their pixels cannot be decoded.
        TruncatedError: A frame ends early.
    """
    layout = shown[0].opened.layout
    check_size(len(shown), layout.rows, layout.columns, limit_bytes)
    photometric = layout.photometric
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        if layout.samples != 1:
            raise _unfit(f"{photometric} with {layout.samples} samples per pixel")
        return _monochrome(shown, layout)
    if photometric == "PALETTE COLOR":
        return _collect(shown, layout, _palette(shown[0].opened), "")
    luma = {
        "RGB": _rgb,
        "YBR_RCT": _rgb,
        "YBR_ICT": _rgb,
        "YBR_FULL": _ybr,
        "YBR_FULL_422": _ybr,
        "YBR_PARTIAL_422": _ybr,
    }.get(photometric)
    if luma is None:
        raise _unfit(f"photometric interpretation {photometric or '(missing)'}")
    if layout.samples != 3:
        raise _unfit(f"{photometric} with {layout.samples} sample per pixel")
    if shown[0].opened.syntax in JPEG:
        luma = _jpeg
    return _collect(shown, layout, luma, "")


Luma = Callable[[bytes, Opened, bool], tuple[np.ndarray, np.ndarray | None]]
"""Stored bytes to grey [H, W] and, if asked, coloured pixels: bool, of that size or smaller."""


def _collect(shown: Sequence[Shown], layout: Layout, luma: Luma, note: str) -> Grey:
    size = (layout.rows, layout.columns)
    frames = np.empty((len(shown), *size), np.uint8)
    coloured: np.ndarray | None = None
    for index, (target, one) in enumerate(zip(frames, shown, strict=True)):
        data = one.frames.read(one.index)
        try:
            target[:], found = luma(data, one.opened, index % _COLOUR_STEP == 0)
        except (CineError, MissingDependencyError):
            raise
        except Exception as error:  # Pillow raises many types on damaged code
            raise broken(one.opened, error) from error
        if found is not None:
            coloured = found if coloured is None else coloured | found
    assert coloured is not None
    if coloured.shape != size:
        coloured = cv2.resize(
            coloured.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST
        ).astype(bool)
    notes = [f"Stored in colour ({layout.photometric}); converted to grey (BT.601 luma)."]
    return Grey(frames, coloured, notes)


def _jpeg(data: bytes, opened: Opened, colours: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """libjpeg gives the luma alone, and the colours of an eighth of the pixels, without delay."""
    stream = check_stream(data, opened)
    if stream.transform == 0 or stream.process == 0xC3:  # RGB; lossless JPEG has no transform
        return _of_rgb(jpeg_values(data, "RGB"))
    if stream.transform is None and opened.layout.photometric == "RGB":
        return _of_rgb(jpeg_values(data, "YCbCr"))
    found = _is_coloured(_rgb_of(jpeg_values(data, "YCbCr", shrink=8))) if colours else None
    return jpeg_values(data, "L"), found


def _rgb(data: bytes, opened: Opened, colours: bool) -> tuple[np.ndarray, np.ndarray | None]:
    return _of_rgb(_bytes_of(decode(data, opened), opened.layout))


def _ybr(data: bytes, opened: Opened, colours: bool) -> tuple[np.ndarray, np.ndarray | None]:
    ybr = np.ascontiguousarray(_bytes_of(decode(data, opened), opened.layout))
    luma = ybr[..., 0]
    if opened.layout.photometric.startswith("YBR_PARTIAL"):
        offset, extent = _PARTIAL
        luma = np.clip((luma.astype(np.float32) - offset) * (255 / extent), 0, 255)
        luma = np.rint(luma).astype(np.uint8)
    return luma, _is_coloured(_rgb_of(ybr)) if colours else None


def _palette(opened: Opened) -> Luma:
    colours, first = palette_of(opened.header, opened.big_endian, opened.layout.signed)
    luma, coloured = luma_of(colours), _is_coloured(colours[None])[0]
    meanings = grey.meanings(opened.layout)
    # Values below the first entry show the first, and those above the last entry the last.
    entry = np.clip(meanings - first, 0, len(colours) - 1)
    lumas, are_coloured = luma[entry], coloured[entry]

    def look_up(data: bytes, opened: Opened, colours: bool) -> tuple[np.ndarray, np.ndarray | None]:
        codes = grey.codes_of(decode(data, opened), opened.layout)
        return lumas[codes], are_coloured[codes]

    if opened.layout.samples != 1 or opened.layout.stored > _MOST_STORED:
        raise _unfit(f"PALETTE COLOR of {opened.layout.stored} bits")
    return look_up


def _monochrome(shown: Sequence[Shown], layout: Layout) -> Grey:
    if layout.stored > _MOST_STORED:
        raise _unfit(f"grey values of {layout.stored} bits; a cine has 16 or fewer")
    header = shown[0].opened.header
    frames = np.empty((len(shown), layout.rows, layout.columns), np.uint8)
    nowhere = np.zeros(frames.shape[1:], bool)

    def codes(which: Sequence[Shown]) -> Iterator[np.ndarray]:
        for one in which:
            yield grey.codes_of(decode(one.frames.read(one.index), one.opened), layout)

    tables, notes = _tables(shown, layout, header, codes)
    for target, one, code in zip(frames, shown, codes(shown), strict=True):
        table = tables.get(one.scale)
        target[:] = code if table is None else table[code]
    if layout.photometric == "MONOCHROME1":
        notes.append("Stored with white as zero (MONOCHROME1); the grey levels were inverted.")
    return Grey(frames, nowhere, notes)


def _tables(
    shown: Sequence[Shown],
    layout: Layout,
    header: Dataset,
    codes: Callable[[Sequence[Shown]], Iterator[np.ndarray]],
) -> tuple[dict[grey.Scale | None, np.ndarray], list[str]]:
    """Grey level of each code, for each rescaling that occurs; none if codes are grey levels."""
    padding = grey.padding_of(header, layout)
    window = _one_window(shown, header)
    scales = list(dict.fromkeys(one.scale for one in shown))
    values = {scale: grey.modality_values(header, layout, scale) for scale in scales}
    plain = layout.stored == 8 and not layout.signed and not padding.any()
    as_stored = (
        all((table == np.arange(256)).all() for table in values.values()) if plain else False
    )
    through = window is None or _is_identity(grey.windowed(np.arange(256.0), window))
    looked_up = grey.looked_up(header, layout) if window is None and scales == [None] else None
    if as_stored and through and looked_up is None and layout.photometric == "MONOCHROME2":
        return {}, []
    notes: list[str] = []
    counts = {}
    for scale in scales:
        counted = grey.count_codes(codes([one for one in shown if one.scale == scale]), layout)
        counts[scale] = np.where(padding, 0, counted)
        left_out = int(counted[padding].sum())
        if left_out:
            notes.append("Padding (PixelPaddingValue) is shown black and does not set the scale.")
    notes = list(dict.fromkeys(notes))
    low, high, more = _range(values, counts)
    if window is not None:
        used = [grey.windowed(values[s][counts[s] > 0], window) for s in scales]
        if len(np.unique(np.rint(np.concatenate(used)))) < 3:
            notes.append("The window in the file leaves almost nothing to see; it was not used.")
            window = None
    if window is not None:
        notes.append(
            f"The file's window was used: centre {window[0]:g}, width {window[1]:g} ({window[2]})."
        )
    elif looked_up is not None:
        notes.append("The file's VOI LUT was used.")
    elif as_stored and not more:
        low, high = 0.0, 255.0
    else:
        notes += [*more, f"Grey levels {low:g}..{high:g} were scaled to 0..255."]
    tables = {}
    for scale in scales:
        if window is not None:
            level = grey.windowed(values[scale], window)
        elif looked_up is not None:
            level = looked_up
        else:
            level = np.clip((values[scale] - low) * (255 / max(high - low, 1e-6)), 0, 255)
        if layout.photometric == "MONOCHROME1":
            level = 255 - level
        tables[scale] = np.where(padding, 0, np.rint(level)).astype(np.uint8)
    return tables, notes


def _range(
    values: dict[grey.Scale | None, np.ndarray], counts: dict[grey.Scale | None, np.ndarray]
) -> tuple[float, float, list[str]]:
    """Black and white over all frames, whatever their rescaling."""
    there = [(values[scale][counts[scale] > 0], counts[scale]) for scale in values]
    every = np.concatenate([value for value, _ in there])
    often = np.concatenate([count[count > 0] for _, count in there])
    if not every.size:
        return 0.0, 0.0, []
    distinct, where = np.unique(every, return_inverse=True)
    return grey.range_of(distinct, np.bincount(where, weights=often).astype(np.int64))


def _one_window(shown: Sequence[Shown], header: Dataset) -> grey.Window | None:
    """The window of all frames; None if it is missing or if frames have different ones."""
    windows = {one.window for one in shown}
    if windows == {None}:
        return grey.window_of(header)
    return windows.pop() if len(windows) == 1 else None


def _is_identity(levels: np.ndarray) -> bool:
    return bool(np.abs(levels - np.arange(256)).max() <= 1.0)


def _bytes_of(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Samples of any depth as uint8, by their most significant bits."""
    if values.dtype == np.uint8 and layout.stored == 8:
        return values
    codes = values >> (layout.high + 1 - layout.stored) if values.dtype.kind == "u" else values
    codes = codes & ((1 << layout.stored) - 1)
    if layout.stored >= 8:
        return (codes >> (layout.stored - 8)).astype(np.uint8)
    return np.rint(codes * (255 / ((1 << layout.stored) - 1))).astype(np.uint8)


def _of_rgb(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rgb = np.ascontiguousarray(rgb)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), _is_coloured(rgb)


def _rgb_of(ybr: np.ndarray) -> np.ndarray:
    swapped = np.ascontiguousarray(ybr[..., [0, 2, 1]])  # OpenCV expects Y, Cr, Cb
    return cv2.cvtColor(swapped, cv2.COLOR_YCrCb2RGB)


def _is_coloured(rgb: np.ndarray) -> np.ndarray:
    first, second, third = cv2.split(np.ascontiguousarray(rgb))
    most = cv2.max(cv2.max(first, second), third)
    least = cv2.min(cv2.min(first, second), third)
    return cv2.subtract(most, least) > _CHROMA_LEVELS


def _unfit(got: str) -> DecodeError:
    return DecodeError(
        "pixels as MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB or YBR",
        got,
        "Export the clip in grey or RGB.",
    )
