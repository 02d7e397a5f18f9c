"""From decoded frames to a `Cine`: sector, blanking, square pixels, and what the user must know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from cineflow.cine.clip import Cine, believed, not_believed
from cineflow.cine.errors import DecodeError, SingleFrameError
from cineflow.cine.sector import find_sector
from cineflow.cine.timing import gap_note

# A clip is coloured (Doppler) when more than this share of its sector is coloured in some frame.
_COLOURED_SHARE = 0.005
# Fewer grey levels than this in the sector leave too little texture to follow.
_FEW_LEVELS = 32
# Pixels are square where their sides differ by less.
_SQUARE = 0.001
_MOST_ASPECT = 8.0

Spacing = tuple[float, float] | None


def _no_spacing(sector: np.ndarray) -> tuple[Spacing, str]:
    return None, "the file has no calibration: pixels only"


@dataclass(eq=False)
class Parts:
    """What a reader found.

    Attributes:
        frames: Grey levels, uint8 [T, H, W]. They are changed in place.
        times_ms: Time of each frame since the first, [T].
        spacing: From the sector to the spacing (row, column) in mm and its source, or None and why.
        notes: What was converted or assumed so far.
        coloured: Pixels that are coloured in some frame, bool [H, W].
        regions: Pixels that the file calls picture, bool [H, W]; None if it does not say.
        aspect: Height of a pixel relative to its width, where there is no spacing.
        triggers_ms: R waves on the clock of `times_ms`.
        burned_in: What the file says about text in its pixels.
        sector: The sector, if the file states it.
        name: Printable name without identity.
        stored: Where each frame is stored, as `Cine.stored`.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    spacing: Callable[[np.ndarray], tuple[Spacing, str]] = _no_spacing
    notes: list[str] = field(default_factory=list)
    coloured: np.ndarray | None = None
    regions: np.ndarray | None = None
    aspect: float = 1.0
    triggers_ms: np.ndarray | None = None
    burned_in: str = ""
    sector: np.ndarray | None = None
    name: str = ""
    stored: np.ndarray | None = None


def assemble(parts: Parts) -> Cine:
    """Blank what lies outside the sector, and make the clip.

    Raises:
        SingleFrameError: There is one frame.
        DecodeError: The times do not increase.
    """
    frames, notes = parts.frames, list(parts.notes)
    if len(frames) < 2:
        raise SingleFrameError(
            "a cine of at least 2 frames", "1 frame", "Export the loop, not a still image."
        )
    times_ms = np.asarray(parts.times_ms, np.float64)
    if not (np.isfinite(times_ms).all() and (np.diff(times_ms) > 0).all()):
        raise DecodeError(
            "frame times that increase",
            "times that stand still or go back",
            "The file is damaged. Export the clip again.",
        )
    sector, sector_note = (
        find_sector(frames, parts.regions) if parts.sector is None else (parts.sector, "")
    )
    if parts.coloured is not None:
        coloured = float(parts.coloured[sector].mean())
        if coloured > _COLOURED_SHARE:
            notes.append(
                f"{coloured:.0%} of the sector is coloured (Doppler?). It was converted to grey. "
                "The colour may move differently from the tissue."
            )
    spacing_mm, reason = parts.spacing(sector)
    if spacing_mm is not None and not believed(spacing_mm):
        reason = not_believed(spacing_mm, reason)
        spacing_mm = None
    notes += [note for note in (sector_note, gap_note(times_ms)) if note]
    inside = sector.astype(np.uint8)
    for frame in frames:
        frame *= inside
    notes += _about_levels(frames, sector)
    if spacing_mm is None and abs(parts.aspect - 1) > _SQUARE:
        frames, sector, note = _squared(frames, sector, parts.aspect)
        notes.append(note)
    return Cine(
        frames,
        times_ms,
        spacing_mm,
        reason,
        sector,
        tuple(dict.fromkeys(notes)),
        parts.name,
        parts.triggers_ms,
        parts.burned_in,
        parts.stored,
    )


def _about_levels(frames: np.ndarray, sector: np.ndarray) -> list[str]:
    """A note where the picture is black, or has few grey levels."""
    found = np.zeros(256, bool)
    for frame in frames:
        found |= np.bincount(frame[sector], minlength=256) > 0
        if found.sum() > _FEW_LEVELS:
            return []
    if not found[1:].any():
        return ["All frames are black: there is nothing to track. Check how the clip was exported."]
    return [
        f"The picture has {found.sum()} grey levels only. Little texture is left, so motion is "
        "less certain."
    ]


def _squared(
    frames: np.ndarray, sector: np.ndarray, aspect: float
) -> tuple[np.ndarray, np.ndarray, str]:
    """Frames on square pixels: lengths in both directions then have one unit, pixels."""
    height, width = sector.shape
    if not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
        return (
            frames,
            sector,
            (f"The file states pixels {aspect:.4g} times as high as wide, which was not believed."),
        )
    size = (width, round(height * aspect)) if aspect > 1 else (round(width / aspect), height)
    made = np.empty((len(frames), size[1], size[0]), np.uint8)
    for target, frame in zip(made, frames, strict=True):
        target[:] = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    inside = cv2.resize(sector.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    made *= inside
    note = (
        f"Pixels are {aspect:.4g} times as high as wide. The frames were resampled from "
        f"{height}x{width} to {size[1]}x{size[0]} square pixels."
    )
    return made, inside, note
