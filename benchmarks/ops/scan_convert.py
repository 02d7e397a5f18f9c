"""Scan conversion of a sector."""

from __future__ import annotations

import math

import cv2
import numpy as np

from benchmarks.ops.case import Case
from cineflow import ops

LINES, SAMPLES = 192, 1024
SIZE = HEIGHT, WIDTH = 600, 800
PROBE = ops.ProbeGeometry(
    LINES,
    SAMPLES,
    first_angle=-math.radians(37.5),
    last_angle=math.radians(37.5),
    last_depth=HEIGHT - 1.0,
    face=(WIDTH / 2, 0.0),
)


def line_maps() -> tuple[np.ndarray, np.ndarray]:
    """Where cv2.remap reads for each pixel of the image."""
    x, y = np.meshgrid(np.arange(WIDTH) - PROBE.face[0], np.arange(HEIGHT) - PROBE.face[1])
    sample = np.hypot(x, y) / PROBE.last_depth * (SAMPLES - 1)
    line = (np.arctan2(x, y) - PROBE.first_angle) / (PROBE.last_angle - PROBE.first_angle)
    return sample.astype(np.float32), (line * (LINES - 1)).astype(np.float32)


def scan_convert(storage: str, result: str) -> Case:
    """One frame of the same probe in every call.

    Both sides keep what depends on the probe: cv2.remap its maps, and cineflow the plan from its
    second call. cv2.remap keeps uint8 as uint8, and rounds positions to 1/32 of a pixel there.
    """
    rng = np.random.default_rng(0)
    src = (255 * rng.random((1, 1, LINES, SAMPLES))).astype(storage)
    out = np.empty((1, 1, *SIZE), result)
    target = np.empty(SIZE, storage)
    maps = line_maps()

    def ours() -> np.ndarray:
        return ops.scan_convert(src, PROBE, SIZE, out=out)

    def peer() -> np.ndarray:
        return cv2.remap(src[0, 0], *maps, cv2.INTER_LINEAR, dst=target)

    inside = ops.scan_mask(PROBE, SIZE)
    return Case(
        f"scan conversion {SAMPLES}×{LINES} lines → {WIDTH}×{HEIGHT}, {storage} → {result}",
        ours,
        {"cv2.remap": peer},
        src.nbytes + out.nbytes,
        10 * int(inside.sum()),
        float(np.abs(ours()[0, 0].astype(np.float32) - peer())[inside].max()),
        wanted=2.5,
    )
