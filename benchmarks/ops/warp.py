"""Warp cases: images, feature maps, and composition of flows."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional

from benchmarks.ops import peers
from benchmarks.ops.case import Case
from benchmarks.ops.machine import Call, at_line, rough_flow, smooth_flow
from cineflow import ops


def warp_image(side: int, build_maps: bool, rough: bool = False) -> Case:
    rng = np.random.default_rng(0)
    src = rng.random((1, 1, side, side), np.float32)
    flow = (rough_flow if rough else smooth_flow)(rng, 1, side, side)
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
        f"warp 1×1×{side}²"
        + (", peer builds its maps" if build_maps else ", rough flow" if rough else ""),
        ours,
        {"cv2.remap": peer},
        src.nbytes + flow.nbytes + out.nbytes,
        10 * src.size,
        error,
        wanted=2.5 if build_maps else 0.0 if rough else 1.7,
    )


def compose_flow(side: int) -> Case:
    """A displacement followed by a flow. The peer samples each component with cv2, then adds."""
    rng = np.random.default_rng(0)
    displacement = smooth_flow(rng, 1, side, side)
    flow = smooth_flow(rng, 1, side, side)
    out = np.empty_like(flow)
    moved = np.empty_like(flow)
    x, y = np.meshgrid(*[np.arange(side, dtype=np.float32)] * 2)
    maps = (displacement[0, 0] + x, displacement[0, 1] + y)

    def ours() -> np.ndarray:
        return ops.compose_flow(displacement, flow, out=out)

    def peer() -> np.ndarray:
        for component in range(2):
            cv2.remap(
                flow[0, component], *maps, cv2.INTER_LINEAR, dst=moved[0, component],
                borderMode=cv2.BORDER_CONSTANT,
            )  # fmt: skip
        return np.add(moved, displacement, out=moved)

    return Case(
        f"compose_flow {side}²",
        ours,
        {"cv2.remap twice, add": peer},
        displacement.nbytes + flow.nbytes + out.nbytes,
        10 * flow.size,
        float(np.abs(ours() - peer()).max()),
        wanted=0.0,
    )


def warp_features(
    batch: int,
    channels: int,
    side: int,
    channels_last: bool,
    threads: int,
    storage: str = "float32",
    late: int = 0,
) -> Case:
    """Feature maps. In half precision the peer converts, since it lacks a CPU kernel for that.

    `late` is where the maps begin, in bytes after a cache line (`machine.at_line`).
    """
    rng = np.random.default_rng(0)
    src = at_line(rng.random((batch, channels, side, side), np.float32), late)
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
    half = storage == "float16"
    reference = functional.grid_sample(image, grid, align_corners=True).numpy()
    if channels_last:
        src = src.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    if half:
        narrow = image.half()
        candidates = {
            "torch grid_sample, converted": lambda: functional.grid_sample(
                narrow.float(), grid, align_corners=True
            ).half(),
        }
        notes = []
        src = src.astype(np.float16)
    src = at_line(src, late)
    out = at_line(np.zeros_like(src), late)

    def ours() -> np.ndarray:
        return ops.warp(src, flow, out=out)

    small = (batch, channels) == (1, 32)
    return Case(
        f"warp {batch}×{channels}×{side}² "
        + ("NHWC" if channels_last else "NCHW")
        + (" f16" if half else "")
        + (f", {late} bytes after a line" if late else ""),
        ours,
        candidates,
        src.nbytes + flow.nbytes + out.nbytes,
        8 * src.size,
        float(np.abs(ours() - reference).max()),
        wanted=0.0 if half or late else 1.5 if not channels_last else 6.0 if small else 2.0,
        notes=notes,
    )
