"""Scan conversion of a sector, and of a pyramid."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch.nn import functional

from benchmarks.ops import peers
from benchmarks.ops.case import Case
from benchmarks.ops.machine import Call
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


VOLUME_SHAPE = (64, 64, 256)
VOLUME_SIDE = 128
PYRAMID = ops.VolumeGeometry(
    ops.ProbeGeometry(
        *VOLUME_SHAPE[1:],
        first_angle=-math.radians(35),
        last_angle=math.radians(35),
        last_depth=VOLUME_SIDE - 1.0,
        face=(VOLUME_SIDE / 2, 0.0),
    ),
    VOLUME_SHAPE[0],
    first_tilt=-math.radians(35),
    last_tilt=math.radians(35),
    face_z=VOLUME_SIDE / 2,
)


def plane_maps() -> np.ndarray:
    """Plane, line and sample of each voxel of the cube, [3, D, H, W]."""
    planes, lines, samples = VOLUME_SHAPE
    z, y, x = np.mgrid[:VOLUME_SIDE, :VOLUME_SIDE, :VOLUME_SIDE].astype(np.float64)
    z, x = z - VOLUME_SIDE / 2, x - VOLUME_SIDE / 2
    depth, reach = np.hypot(y, z), math.radians(35)
    plane = (np.arctan2(z, y) + reach) / (2 * reach) * (planes - 1)
    line = (np.arctan2(x, depth) + reach) / (2 * reach) * (lines - 1)
    return np.stack([plane, line, np.hypot(x, depth) / (VOLUME_SIDE - 1) * (samples - 1)])


def scan_convert_volume(storage: str) -> Case:
    """One volume of planes to a cube. Every peer gets its positions ready made, and takes float32
    only; ours are computed in every call."""
    src = (255 * np.random.default_rng(0).random((1, 1, *VOLUME_SHAPE))).astype(storage)
    size = (VOLUME_SIDE,) * 3
    out = np.empty((1, 1, *size), np.float32)
    maps = plane_maps()
    far = np.where((maps >= 0).all(0), maps, -9.0)  # peers blend with 0 beyond the first plane
    numbers = src[0, 0].astype(np.float32)
    volume = torch.from_numpy(numbers)[None, None]
    sides = np.array(VOLUME_SHAPE)[:, None, None, None] - 1
    grid = torch.from_numpy(np.moveaxis(2 * far / sides - 1, 0, -1)[None, ..., ::-1].copy()).float()

    def ours() -> np.ndarray:
        return ops.scan_convert(src, PYRAMID, size, out=out)

    candidates: dict[str, Call] = {
        "torch grid_sample": lambda: functional.grid_sample(volume, grid, align_corners=True)
    }
    reference = candidates["torch grid_sample"]()[0, 0].numpy()
    scipy = peers.scipy_map_coordinates(numbers, far)
    notes = [] if scipy is not None else ["SciPy is not installed"]
    if scipy is not None:
        candidates["SciPy map_coordinates"] = scipy
    inside = ops.scan_mask(PYRAMID, size) & ((maps >= 0) & (maps <= sides)).all(0)
    return Case(
        f"scan conversion 64×64 lines of 256 → {VOLUME_SIDE}³, {storage} → float32",
        ours,
        candidates,
        src.nbytes + out.nbytes,
        20 * int(inside.sum()),
        float(np.abs(ours()[0, 0] - reference)[inside].max()),
        wanted=0.0,
        notes=notes,
    )
