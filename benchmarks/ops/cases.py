"""What is timed: cineflow's call, its peers' on the same data, and the compulsory work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch.nn import functional

from benchmarks.ops import peers
from benchmarks.ops.machine import Call, smooth_flow
from cineflow import ops

RADIUS = 4


@dataclass
class Case:
    """One line of the table.

    Attributes:
        name: Op and size.
        ours: cineflow's call, into a given output.
        peers: Exact peers by name.
        bytes_moved: Compulsory traffic: every input and output once.
        flops: Compulsory arithmetic, 2 per multiply-add.
        error: Largest absolute difference from the first peer.
        wanted: What the project set out to reach, as the ratio of the best peer's time to ours.
    """

    name: str
    ours: Call
    peers: dict[str, Call]
    bytes_moved: int
    flops: int
    error: float
    wanted: float
    notes: list[str] = field(default_factory=list)


def all_cases(threads: int) -> Iterator[Callable[[], Case]]:
    """Factories, so that one case's arrays are gone before the next one's are made."""
    for channels in (32, 64, 128):
        for side in (28, 56, 112):
            yield lambda c=channels, s=side: correlation(c, s)
    yield lambda: warp_image(224, build_maps=False)
    yield lambda: warp_image(224, build_maps=True)
    for shape in ((1, 32, 56), (8, 64, 112)):
        for last in (False, True):
            yield lambda s=shape, last=last: warp_features(*s, last, threads)
    for frames in (1, 25, 75):
        yield lambda n=frames: polar(n)


def correlation(channels: int, side: int) -> Case:
    rng = np.random.default_rng(0)
    f1, f2 = rng.standard_normal((2, 1, channels, side, side), dtype=np.float32)
    shifts = (2 * RADIUS + 1) ** 2
    out = np.empty((1, shifts, side, side), np.float32)
    a, b = torch.from_numpy(f1), torch.from_numpy(f2)

    def ours() -> np.ndarray:
        return ops.correlation(f1, f2, radius=RADIUS, out=out)

    error = float(np.abs(ours() - peers.banded_gemms(a, b, RADIUS).numpy()).max())
    return Case(
        f"correlation C{channels} {side}² r{RADIUS}",
        ours,
        {"9 banded GEMMs (torch)": lambda: peers.banded_gemms(a, b, RADIUS)},
        f1.nbytes + f2.nbytes + out.nbytes,
        2 * channels * side * side * shifts,
        error,
        wanted=6.0 if (channels, side) == (64, 56) else 4.0,
    )


def warp_image(side: int, build_maps: bool) -> Case:
    rng = np.random.default_rng(0)
    src = rng.random((1, 1, side, side), np.float32)
    flow = smooth_flow(rng, 1, side, side)
    out = np.empty_like(src)
    x, y = np.meshgrid(*[np.arange(side, dtype=np.float32)] * 2)
    maps = (flow[0, 0] + x, flow[0, 1] + y)
    target = np.empty((side, side), np.float32)

    def remap(map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
        return cv2.remap(
            src[0, 0], map_x, map_y, cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_CONSTANT
        )

    def peer() -> np.ndarray:
        return remap(flow[0, 0] + x, flow[0, 1] + y) if build_maps else remap(*maps)

    def ours() -> np.ndarray:
        return ops.warp(src, flow, out=out)

    error = float(np.abs(ours()[0, 0] - remap(*maps)).max())
    return Case(
        f"warp 1×1×{side}²" + (", peer builds its maps" if build_maps else ""),
        ours,
        {"cv2.remap": peer},
        src.nbytes + flow.nbytes + out.nbytes,
        10 * src.size,
        error,
        wanted=2.5 if build_maps else 1.7,
    )


def warp_features(batch: int, channels: int, side: int, channels_last: bool, threads: int) -> Case:
    rng = np.random.default_rng(0)
    src = rng.random((batch, channels, side, side), np.float32)
    flow = smooth_flow(rng, batch, side, side)
    grid = torch.from_numpy(peers.normalised_grid(flow, True).astype(np.float32))
    image = torch.from_numpy(src)
    candidates: dict[str, Call] = {
        "torch grid_sample": lambda: functional.grid_sample(image, grid, align_corners=True),
        "ONNX Runtime GridSample": peers.onnxruntime_grid_sample(src, flow, threads),
    }
    openvino = peers.openvino_grid_sample(src, flow, threads)
    notes = [] if openvino is not None else ["OpenVINO is not installed"]
    if openvino is not None:
        candidates["OpenVINO GridSample"] = openvino
    reference = functional.grid_sample(image, grid, align_corners=True).numpy()
    if channels_last:
        src = src.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    out = np.empty_like(src)

    def ours() -> np.ndarray:
        return ops.warp(src, flow, out=out)

    small = (batch, channels) == (1, 32)
    return Case(
        f"warp {batch}×{channels}×{side}² " + ("NHWC" if channels_last else "NCHW"),
        ours,
        candidates,
        src.nbytes + flow.nbytes + out.nbytes,
        8 * src.size,
        float(np.abs(ours() - reference).max()),
        wanted=1.5 if not channels_last else 6.0 if small else 2.0,
        notes=notes,
    )


def polar(frames: int) -> Case:
    rng = np.random.default_rng(0)
    size, angles, radii = 160, 192, 128
    src = rng.random((frames, 1, size, size), np.float32)
    centre = (size / 2, size / 2)
    grid = ops.PolarGrid(angles, radii, last_radius=size / 2)
    out = np.empty((frames, 1, angles, radii), np.float32)
    target = np.empty((frames, angles, radii), np.float32)
    angle = np.arange(angles)[:, None] * grid.angle_step
    radius = np.arange(radii) * grid.radius_step
    map_x = (centre[0] + radius * np.cos(angle)).astype(np.float32)
    map_y = (centre[1] + radius * np.sin(angle)).astype(np.float32)
    centres = np.array([centre], np.float32)

    def remap() -> np.ndarray:
        for index in range(frames):
            cv2.remap(
                src[index, 0], map_x, map_y, cv2.INTER_LINEAR, dst=target[index],
                borderMode=cv2.BORDER_CONSTANT,
            )  # fmt: skip
        return target

    def warp_polar() -> None:
        flags = cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
        for index in range(frames):
            cv2.warpPolar(
                src[index, 0], (radii, angles), centre, size / 2, flags, dst=target[index]
            )

    def ours() -> np.ndarray:
        return ops.polar_resample(src, centres, grid, out=out)

    return Case(
        f"polar {size}² → {angles}×{radii}, {frames} frame{'s' if frames > 1 else ''}",
        ours,
        {"cv2.remap": remap, "cv2.warpPolar": warp_polar},
        src.nbytes + out.nbytes,
        10 * out.size,
        float(np.abs(ours()[:, 0] - remap()).max()),
        wanted=2.5,
    )


def megabytes(count: int) -> str:
    """Bytes for a reader."""
    return f"{count / 1e6:.2f}"
