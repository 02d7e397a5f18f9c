"""Times of the CUDA kernels and their peers, and this GPU's copy bandwidth.

Kernels and torch peers are replayed as a CUDA graph, so that launches cost little. CuPy's functions
allocate memory and are timed call by call. Caches are hot. Figures are printed as JSON.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cupy
import cupyx.scipy.ndimage
import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom

from benchmarks.ops.peers import banded_gemms
from cineflow import ops

CALLS = 20  # in one graph
REPEATS = 30


def milliseconds(run: Callable[[], Any]) -> float:
    """Median time of one `run`, by CUDA events on torch's current stream."""
    times = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def graphed(run: Callable[[], Any]) -> float:
    """Microseconds of one `run`, in a replayed graph of CALLS runs."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            run()
    graph.replay()
    return milliseconds(graph.replay) * 1e3 / CALLS


def eager(run: Callable[[], Any]) -> float:
    """Microseconds of one `run`, in a series of CALLS runs on torch's current stream."""
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)

    def many() -> None:
        with stream:
            for _ in range(CALLS):
                run()

    many()
    return milliseconds(many) * 1e3 / CALLS


@dataclass(frozen=True)
class Case:
    """One row: our op, its peers, and the least number of bytes to move."""

    name: str
    bytes: int
    ours: Callable[[], Any]
    torch_peers: dict[str, Callable[[], Any]]
    cupy_peers: dict[str, Callable[[], Any]]


def size_of(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def smooth_flow(n: int, h: int, w: int) -> torch.Tensor:
    coarse = torch.randn(n, 2, 8, 8, device="cuda") * 4
    return F.interpolate(coarse, (h, w), mode="bicubic").contiguous()


def pixels_at(flow: torch.Tensor) -> torch.Tensor:
    """The positions that the pixels of `flow` [N, 2, h, w] point to, x then y."""
    h, w = flow.shape[2:]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([x, y]).to(flow.device) + flow


def normalised(at: torch.Tensor, h: int, w: int) -> torch.Tensor:
    """Positions [N, 2, ...] in h x w images as a grid for grid_sample with aligned corners."""
    sides = torch.tensor([w, h], device=at.device).view(1, 2, 1, 1)
    return (2 * at / (sides - 1) - 1).permute(0, 2, 3, 1).contiguous()


def warp_case(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> Case:
    n, c, h, w = shape
    src = torch.rand(shape, device="cuda").to(dtype)
    if layout == "channels_last":
        src = src.contiguous(memory_format=torch.channels_last)
    flow = smooth_flow(n, h, w)
    out = torch.empty_like(src)
    grid = normalised(pixels_at(flow), h, w).to(dtype)

    def grid_sample() -> torch.Tensor:
        return F.grid_sample(src, grid, align_corners=True)

    cupy_peers = {}
    if n * c == 1 and dtype == torch.float32:
        plane = cupy.from_dlpack(src[0, 0])
        coordinates = cupy.from_dlpack(pixels_at(flow)[0].flip(0).contiguous())
        cupy_peers["cupy map_coordinates"] = lambda: cupyx.scipy.ndimage.map_coordinates(
            plane, coordinates, order=1
        )
    return Case(
        f"warp {'x'.join(map(str, shape))} {str(dtype).split('.')[1]} {layout}",
        size_of(src, flow, out),
        lambda: ops.warp(src, flow, out=out),
        {"torch grid_sample (grid ready)": grid_sample},
        cupy_peers,
    )


def compose_flow_case(side: int) -> Case:
    """The peer gets its grid, warps and adds."""
    displacement, flow = (smooth_flow(1, side, side) for _ in range(2))
    out = torch.empty_like(flow)
    grid = normalised(pixels_at(displacement), side, side)

    def sample_and_add() -> torch.Tensor:
        return displacement + F.grid_sample(flow, grid, align_corners=True)

    ours = ops.compose_flow(displacement, flow, out=out)
    torch.testing.assert_close(ours, sample_and_add(), rtol=0, atol=5e-3)
    return Case(
        f"compose_flow {side}^2",
        size_of(displacement, flow, out),
        lambda: ops.compose_flow(displacement, flow, out=out),
        {"torch grid_sample, add (grid ready)": sample_and_add},
        {},
    )


def correlation_case(c: int, side: int, dtype: torch.dtype, radius: int = 4) -> Case:
    f1, f2 = (torch.rand(1, c, side, side, device="cuda").to(dtype) for _ in range(2))
    window = 2 * radius + 1
    out = torch.empty(1, window * window, side, side, device="cuda", dtype=dtype)

    def slices() -> torch.Tensor:
        padded = F.pad(f2, (radius,) * 4)
        shifts = [(y, x) for y in range(window) for x in range(window)]
        return torch.stack(
            [(f1 * padded[:, :, y : y + side, x : x + side]).mean(1) for y, x in shifts], 1
        )

    def banded() -> torch.Tensor:
        return banded_gemms(f1, f2, radius)

    wanted = slices().float()
    for peer in (banded(), ops.correlation(f1, f2, radius=radius, out=out)):
        torch.testing.assert_close(peer.float(), wanted, rtol=0, atol=5e-3)
    return Case(
        f"correlation C{c} {side}^2 r{radius} {str(dtype).split('.')[1]}",
        size_of(f1, f2, out),
        lambda: ops.correlation(f1, f2, radius=radius, out=out),
        {"torch slices": slices, "torch banded GEMMs": banded},
        {},
    )


def warp_correlation_case(c: int, side: int, dtype: torch.dtype, radius: int = 4) -> Case:
    """The peer gets its grid, and stores the warped map."""
    f1, f2 = (torch.rand(1, c, side, side, device="cuda").to(dtype) for _ in range(2))
    flow = smooth_flow(1, side, side)
    out = torch.empty(1, (2 * radius + 1) ** 2, side, side, device="cuda", dtype=dtype)
    grid = normalised(pixels_at(flow), side, side).to(dtype)

    def sample_then_banded() -> torch.Tensor:
        return banded_gemms(f1, F.grid_sample(f2, grid, align_corners=True), radius)

    # In half precision the peer's coordinates are too coarse for a comparison with ours.
    wanted = ops.correlation(f1, ops.warp(f2, flow), radius=radius)
    ours = ops.warp_correlation(f1, f2, flow, radius=radius, out=out)
    torch.testing.assert_close(ours.float(), wanted.float(), rtol=0, atol=5e-3)
    return Case(
        f"warp_correlation C{c} {side}^2 r{radius} {str(dtype).split('.')[1]}",
        size_of(f1, f2, flow, out),
        lambda: ops.warp_correlation(f1, f2, flow, radius=radius, out=out),
        {
            "cineflow in two calls": lambda: ops.correlation(f1, ops.warp(f2, flow), radius=radius),
            "torch grid_sample, banded GEMMs (grid ready)": sample_then_banded,
        },
        {},
    )


def polar_case(frames: int) -> Case:
    src = torch.rand(frames, 1, 160, 160, device="cuda")
    grid = ops.PolarGrid(192, 128, last_radius=79.0)
    centre = torch.tensor([[79.5, 79.5]], device="cuda")
    out = torch.empty(frames, 1, 192, 128, device="cuda")
    angles = torch.arange(192, device="cuda") * grid.angle_step
    radii = torch.arange(128, device="cuda") * grid.radius_step
    at = torch.stack([79.5 + radii * angles.cos()[:, None], 79.5 + radii * angles.sin()[:, None]])
    # Frames as channels, so that they share one grid.
    stacked = src.view(1, frames, 160, 160)
    normal = (2 * at / 159 - 1).permute(1, 2, 0)[None].contiguous()
    plane, rows = cupy.from_dlpack(src[0, 0]), cupy.from_dlpack(at.flip(0).contiguous())
    return Case(
        f"polar_resample {frames} of 160^2 to 192x128",
        size_of(src, out),
        lambda: ops.polar_resample(src, centre, grid, out=out),
        {"torch grid_sample (grid ready)": lambda: F.grid_sample(stacked, normal,
                                                                 align_corners=True)},
        {"cupy map_coordinates": lambda: cupyx.scipy.ndimage.map_coordinates(plane, rows, order=1)}
        if frames == 1
        else {},
    )  # fmt: skip


def polar_back_case(frames: int) -> Case:
    """The peer gets its grid, and a source with one more ray: ray 192 is ray 0."""
    src = torch.rand(frames, 1, 192, 128, device="cuda")
    grid = ops.PolarGrid(192, 128, last_radius=79.0)
    centre = torch.tensor([[79.5, 79.5]], device="cuda")
    out = torch.empty(frames, 1, 160, 160, device="cuda")
    closed = torch.cat([src, src[:, :, :1]], 2).view(1, frames, 193, 128)
    y, x = torch.meshgrid(*(torch.arange(160, device="cuda") - 79.5,) * 2, indexing="ij")
    at = torch.stack(
        [torch.hypot(x, y) / grid.radius_step, torch.atan2(y, x) % math.tau / grid.angle_step]
    )
    normal = normalised(at[None], 193, 128)

    def grid_sample() -> torch.Tensor:
        return F.grid_sample(closed, normal, align_corners=True)

    ours = ops.polar_unresample(src, centre, grid, (160, 160), out=out)
    torch.testing.assert_close(ours, grid_sample().view_as(out), rtol=0, atol=5e-3)
    return Case(
        f"polar_unresample {frames} of 192x128 to 160^2",
        size_of(src, out),
        lambda: ops.polar_unresample(src, centre, grid, (160, 160), out=out),
        {"torch grid_sample (grid ready)": grid_sample},
        {},
    )


def copy_bandwidth() -> float:
    """GB/s, read and written, of a copy far larger than the caches."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    microseconds = graphed(lambda: target.copy_(source))
    return 2 * source.numel() / microseconds / 1e3


def row(case: Case, bandwidth: float) -> dict[str, Any]:
    ours = graphed(case.ours)
    peers = {name: graphed(run) for name, run in case.torch_peers.items()}
    peers |= {f"{name} (no graph)": eager(run) for name, run in case.cupy_peers.items()}
    floor = case.bytes / bandwidth / 1e3
    return {
        "case": case.name,
        "bytes": case.bytes,
        "us": round(ours, 2),
        "copy_floor_us": round(floor, 3),
        "times_floor": round(ours / floor, 2),
        "peers_us": {name: round(time, 2) for name, time in peers.items()},
        "best_peer_over_ours": round(min(peers.values()) / ours, 2),
    }


def cases() -> list[Case]:
    full, half = torch.float32, torch.float16
    return [
        *(
            warp_case(shape, dtype, layout)
            for shape in ((1, 1, 224, 224), (1, 32, 56, 56), (8, 64, 112, 112))
            for dtype in (full, half)
            for layout in (("planar", "channels_last") if shape[1] > 1 else ("planar",))
        ),
        *(
            correlation_case(c, side, dtype)
            for c, side in ((64, 56), (128, 56), (64, 112), (128, 112))
            for dtype in (full, half)
        ),
        *(compose_flow_case(side) for side in (112, 224)),
        *(
            warp_correlation_case(c, side, dtype)
            for c, side in ((64, 56), (128, 112))
            for dtype in (full, half)
        ),
        *(polar_case(frames) for frames in (1, 25, 75)),
        *(polar_back_case(frames) for frames in (1, 25, 75)),
    ]


def main() -> None:
    torch.manual_seed(0)
    bandwidth = copy_bandwidth()
    versions = {"torch": torch.__version__, "cupy": cupy.__version__, "cuda": torch.version.cuda}
    rows = [row(case, bandwidth) for case in cases()]
    print(json.dumps({"copy_gb_s": round(bandwidth, 1), "versions": versions, "rows": rows}))


if __name__ == "__main__":
    main()
