"""Volume cases: warp and composition of flows in three dimensions."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from benchmarks.ops import peers
from benchmarks.ops.case import Case
from benchmarks.ops.machine import Call, smooth_flow
from cineflow import ops


def warp_volume(channels: int, side: int, threads: int, channels_last: bool = False) -> Case:
    """Every peer gets its normalised grid ready made. SimpleITK takes one channel."""
    rng = np.random.default_rng(0)
    src = rng.random((1, channels, side, side, side), np.float32)
    flow = smooth_flow(rng, 1, side, side, side)
    grid = torch.from_numpy(peers.normalised_grid(flow, True).astype(np.float32))
    image = torch.from_numpy(src)
    candidates: dict[str, Call] = {
        "torch grid_sample": lambda: functional.grid_sample(image, grid, align_corners=True),
        "ONNX Runtime GridSample": peers.onnxruntime_grid_sample(src, flow, threads),
    }
    notes = []
    if channels == 1:
        resample = peers.simpleitk_resample(src[0, 0], flow[0], threads)
        notes = [] if resample is not None else ["SimpleITK is not installed"]
        if resample is not None:
            candidates["SimpleITK"] = resample
    reference = candidates["torch grid_sample"]().numpy()
    if channels_last:
        src = np.moveaxis(np.moveaxis(src, 1, -1).copy(), -1, 1)
    out = np.empty_like(src)

    def ours() -> np.ndarray:
        return ops.warp(src, flow, out=out)

    return Case(
        f"warp 1×{channels}×{side}³" + (" NDHWC" if channels_last else ""),
        ours,
        candidates,
        src.nbytes + flow.nbytes + out.nbytes,
        16 * src.size,
        float(np.abs(ours() - reference).max()),
        wanted=6.0,
        notes=notes,
    )


def compose_flow_volume(side: int) -> Case:
    """The peer gets its grid, samples the flow and adds the displacement."""
    rng = np.random.default_rng(0)
    displacement = smooth_flow(rng, 1, side, side, side)
    flow = smooth_flow(rng, 1, side, side, side)
    out = np.empty_like(flow)
    grid = torch.from_numpy(peers.normalised_grid(displacement, True).astype(np.float32))
    so_far, following = torch.from_numpy(displacement), torch.from_numpy(flow)

    def ours() -> np.ndarray:
        return ops.compose_flow(displacement, flow, out=out)

    def peer() -> torch.Tensor:
        return functional.grid_sample(following, grid, align_corners=True) + so_far

    return Case(
        f"compose_flow {side}³",
        ours,
        {"torch grid_sample, add": peer},
        displacement.nbytes + flow.nbytes + out.nbytes,
        18 * flow.size,
        float(np.abs(ours() - peer().numpy()).max()),
        wanted=2.5,
    )


def correlation_volume(channels: int, side: int, radius: int) -> Case:
    """The goals are 3 times the matrix products, and 12 (radius 2) or 10 times slices and mean."""
    f1, f2, out = _features(channels, side, radius)
    a, b = torch.from_numpy(f1), torch.from_numpy(f2)

    def ours() -> np.ndarray:
        return ops.correlation(f1, f2, radius=radius, out=out)

    return Case(
        f"correlation C{channels} {side}³ r{radius}",
        ours,
        {
            "banded GEMMs (torch)": lambda: peers.banded_gemms_3d(a, b, radius),
            "slices, mean (torch)": lambda: peers.slices_mean_3d(a, b, radius),
        },
        f1.nbytes + f2.nbytes + out.nbytes,
        2 * channels * out.size,
        float(np.abs(ours() - peers.banded_gemms_3d(a, b, radius).numpy()).max()),
        wanted=3.0,
    )


def warp_correlation_volume(channels: int, side: int, radius: int) -> Case:
    f1, f2, out = _features(channels, side, radius)
    flow = smooth_flow(np.random.default_rng(0), 1, side, side, side)
    grid = torch.from_numpy(peers.normalised_grid(flow, True).astype(np.float32))
    a, b = torch.from_numpy(f1), torch.from_numpy(f2)

    def ours() -> np.ndarray:
        return ops.warp_correlation(f1, f2, flow, radius=radius, out=out)

    def peer() -> torch.Tensor:
        moved = functional.grid_sample(b, grid, align_corners=True)
        return peers.banded_gemms_3d(a, moved, radius)

    return Case(
        f"warp_correlation C{channels} {side}³ r{radius}",
        ours,
        {"grid_sample, banded GEMMs (torch)": peer},
        f1.nbytes + f2.nbytes + flow.nbytes + out.nbytes,
        2 * channels * out.size + 16 * f2.size,
        float(np.abs(ours() - peer().numpy()).max()),
        wanted=0.0,
    )


def _features(channels: int, side: int, radius: int) -> tuple[np.ndarray, ...]:
    """Two maps [1, C, D, H, W], and memory for their correlation."""
    rng = np.random.default_rng(0)
    f1, f2 = rng.standard_normal((2, 1, channels, side, side, side), dtype=np.float32)
    return f1, f2, np.empty((1, (2 * radius + 1) ** 3, side, side, side), np.float32)
