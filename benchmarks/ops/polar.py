"""Polar cases, in both directions."""

from __future__ import annotations

from itertools import cycle

import cv2
import numpy as np

from benchmarks.ops.case import Case
from cineflow import ops

SIZE, ANGLES, RADII = 160, 192, 128
CENTRE = (SIZE / 2, SIZE / 2)
CENTRES = np.array([CENTRE], np.float32)
GRID = ops.PolarGrid(ANGLES, RADII, last_radius=SIZE / 2)


def ray_maps(centre: tuple[float, float] = CENTRE) -> tuple[np.ndarray, np.ndarray]:
    """Where cv2.remap reads for each sample of the polar image."""
    angle = np.arange(ANGLES)[:, None] * GRID.angle_step
    radius = np.arange(RADII) * GRID.radius_step
    return (
        (centre[0] + radius * np.cos(angle)).astype(np.float32),
        (centre[1] + radius * np.sin(angle)).astype(np.float32),
    )


def remap_each(src: np.ndarray, maps: tuple[np.ndarray, np.ndarray], out: np.ndarray) -> np.ndarray:
    """cv2.remap of every frame [N, H, W]."""
    for frame, target in zip(src, out, strict=True):
        cv2.remap(frame, *maps, cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_CONSTANT)
    return out


def warp_polar_each(src: np.ndarray, size: tuple[int, int], inverse: bool, out: np.ndarray) -> None:
    """cv2.warpPolar of every frame; `size` is (columns, rows)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS | (cv2.WARP_INVERSE_MAP if inverse else 0)
    for frame, target in zip(src, out, strict=True):
        cv2.warpPolar(frame, size, CENTRE, SIZE / 2, flags, dst=target)


def frames_text(frames: int) -> str:
    return f"{frames} frame{'s' if frames > 1 else ''}"


def polar(frames: int) -> Case:
    """Cartesian to polar, in f32, around the same centre in every call.

    Both sides keep what depends on the centre: cv2.remap its maps, and cineflow the plan from its
    second call.
    """
    rng = np.random.default_rng(0)
    src = rng.random((frames, 1, SIZE, SIZE), np.float32)
    out = np.empty((frames, 1, ANGLES, RADII), np.float32)
    target = np.empty((frames, ANGLES, RADII), np.float32)
    maps = ray_maps()

    def ours() -> np.ndarray:
        return ops.polar_resample(src, CENTRES, GRID, out=out)

    return Case(
        f"polar {SIZE}² → {ANGLES}×{RADII}, {frames_text(frames)}",
        ours,
        {
            "cv2.remap": lambda: remap_each(src[:, 0], maps, target),
            "cv2.warpPolar": lambda: warp_polar_each(src[:, 0], (RADII, ANGLES), False, target),
        },
        src.nbytes + out.nbytes,
        10 * out.size,
        float(np.abs(ours()[:, 0] - remap_each(src[:, 0], maps, target)).max()),
        wanted=2.5,
    )


def polar_moving() -> Case:
    """One frame, around another centre in every call: neither side can keep anything."""
    rng = np.random.default_rng(0)
    src = rng.random((1, 1, SIZE, SIZE), np.float32)
    out = np.empty((1, 1, ANGLES, RADII), np.float32)
    target = np.empty((1, ANGLES, RADII), np.float32)
    centres = np.array([CENTRE], np.float32) + np.linspace(0, 1, 1000, dtype=np.float32)[:, None]
    ours_next, peers_next = cycle(range(1000)), cycle(range(1000))

    def ours() -> np.ndarray:
        index = next(ours_next)
        return ops.polar_resample(src, centres[index : index + 1], GRID, out=out)

    def peer() -> np.ndarray:
        x, y = centres[next(peers_next)]
        return remap_each(src[:, 0], ray_maps((float(x), float(y))), target)

    return Case(
        f"polar {SIZE}² → {ANGLES}×{RADII}, 1 frame, a new centre in each call",
        ours,
        {"maps, cv2.remap": peer},
        src.nbytes + out.nbytes,
        10 * out.size,
        float(np.abs(ours()[:, 0] - peer()).max()),
        wanted=0.0,
    )


def polar_bytes(frames: int) -> Case:
    """uint8 in, normalised f32 out. cv2 rounds to uint8, so the exact peer converts first."""
    rng = np.random.default_rng(0)
    src = rng.integers(0, 256, (frames, 1, SIZE, SIZE), np.uint8)
    out = np.empty((frames, 1, ANGLES, RADII), np.float32)
    wide = np.empty(src.shape[:1] + src.shape[2:], np.float32)
    target = np.empty((frames, ANGLES, RADII), np.float32)
    maps = ray_maps()

    def ours() -> np.ndarray:
        return ops.polar_resample(src, CENTRES, GRID, scale=1 / 255, out=out)

    def peer() -> np.ndarray:
        np.multiply(src[:, 0], np.float32(1 / 255), out=wide)
        return remap_each(wide, maps, target)

    return Case(
        f"polar u8 → f32, {frames_text(frames)}",
        ours,
        {"normalise, cv2.remap": peer},
        src.nbytes + out.nbytes,
        10 * out.size,
        float(np.abs(ours()[:, 0] - peer()).max()),
        wanted=0.0,
    )


def unpolar(frames: int) -> Case:
    """Polar to Cartesian, in f32. cv2.remap gets its maps, and a source with one more ray."""
    rng = np.random.default_rng(0)
    src = rng.random((frames, 1, ANGLES, RADII), np.float32)
    out = np.empty((frames, 1, SIZE, SIZE), np.float32)
    target = np.empty((frames, SIZE, SIZE), np.float32)
    closed = np.concatenate([src, src[:, :, :1]], 2)[:, 0]  # ray ANGLES is ray 0
    x, y = np.meshgrid(np.arange(SIZE) - CENTRE[0], np.arange(SIZE) - CENTRE[1])
    radius = (np.hypot(x, y) / GRID.radius_step).astype(np.float32)
    angle = (np.arctan2(y, x) % (2 * np.pi) / GRID.angle_step).astype(np.float32)

    def ours() -> np.ndarray:
        return ops.polar_unresample(src, CENTRES, GRID, (SIZE, SIZE), out=out)

    return Case(
        f"polar back {ANGLES}×{RADII} → {SIZE}², {frames_text(frames)}",
        ours,
        {
            "cv2.remap": lambda: remap_each(closed, (radius, angle), target),
            "cv2.warpPolar": lambda: warp_polar_each(src[:, 0], (SIZE, SIZE), True, target),
        },
        src.nbytes + out.nbytes,
        10 * out.size,
        float(np.abs(ours()[:, 0] - remap_each(closed, (radius, angle), target)).max()),
        wanted=0.0,
    )
