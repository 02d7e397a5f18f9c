"""Times of the CUDA kernels and their peers, compared with the floor that the memory sets.

The floor is the L2 cache's where a case fits into it. Figures are printed as JSON.
"""

from __future__ import annotations

import json
import math
from typing import Any

import cupy
import cupyx.scipy.ndimage
import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom

from benchmarks.gpu.case import Case, name_of, normalised, pixels_at, size_of, smooth_flow
from benchmarks.gpu.clock import cache_bytes, copy_bandwidth, eager, floor_us, graphed
from benchmarks.gpu.more_cases import more_cases
from benchmarks.gpu.pair_cases import pair_cases
from benchmarks.ops.peers import banded_gemms
from cineflow import ops


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
        f"warp {'x'.join(map(str, shape))} {name_of(dtype)} {layout}",
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
        f"correlation C{c} {side}^2 r{radius} {name_of(dtype)}",
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
        f"warp_correlation C{c} {side}^2 r{radius} {name_of(dtype)}",
        size_of(f1, f2, flow, out),
        lambda: ops.warp_correlation(f1, f2, flow, radius=radius, out=out),
        {
            "cineflow in two calls": lambda: ops.correlation(f1, ops.warp(f2, flow), radius=radius),
            "torch grid_sample, banded GEMMs (grid ready)": sample_then_banded,
        },
        {},
    )


def two_calls_case(c: int, side: int, dtype: torch.dtype, radius: int = 4) -> Case:
    """What `warp_correlation` has to beat: both ops after one another, with the warped map."""
    f1, f2 = (torch.rand(1, c, side, side, device="cuda").to(dtype) for _ in range(2))
    flow = smooth_flow(1, side, side)
    moved = torch.empty_like(f2)
    out = torch.empty(1, (2 * radius + 1) ** 2, side, side, device="cuda", dtype=dtype)

    def both() -> torch.Tensor:
        return ops.correlation(f1, ops.warp(f2, flow, out=moved), radius=radius, out=out)

    return Case(
        f"warp, correlation in two calls C{c} {side}^2 r{radius} {name_of(dtype)}",
        size_of(f1, f2, flow, out),
        both,
        {"cineflow in one call": lambda: ops.warp_correlation(f1, f2, flow, radius=radius)},
    )


def polar_case(frames: int, u8: bool = False) -> Case:
    """From uint8 the peer converts and scales first."""
    src = torch.rand(frames, 1, 160, 160, device="cuda")
    if u8:
        src = (255 * src).to(torch.uint8)
    scale = 1 / 255 if u8 else 1.0
    grid = ops.PolarGrid(192, 128, last_radius=79.0)
    centre = (79.5, 79.5)
    out = torch.empty(frames, 1, 192, 128, device="cuda")
    angles = torch.arange(192, device="cuda") * grid.angle_step
    radii = torch.arange(128, device="cuda") * grid.radius_step
    at = torch.stack([79.5 + radii * angles.cos()[:, None], 79.5 + radii * angles.sin()[:, None]])
    # Frames as channels, so that they share one grid.
    stacked = src.view(1, frames, 160, 160)
    normal = (2 * at / 159 - 1).permute(1, 2, 0)[None].contiguous()

    def grid_sample() -> torch.Tensor:
        scaled = stacked * scale if u8 else stacked
        return F.grid_sample(scaled, normal, align_corners=True)

    ours = ops.polar_resample(src, centre, grid, scale=scale, out=out)
    torch.testing.assert_close(ours, grid_sample().view_as(out), rtol=0, atol=5e-3)
    cupy_peers = {}
    if frames == 1 and not u8:
        plane, rows = cupy.from_dlpack(src[0, 0]), cupy.from_dlpack(at.flip(0).contiguous())
        cupy_peers["cupy map_coordinates"] = lambda: cupyx.scipy.ndimage.map_coordinates(
            plane, rows, order=1
        )
    return Case(
        f"polar_resample {frames} of 160^2 to 192x128 {name_of(src.dtype)}",
        size_of(src, out),
        lambda: ops.polar_resample(src, centre, grid, scale=scale, out=out),
        {"torch grid_sample (grid ready)": grid_sample},
        cupy_peers,
    )


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


def row(case: Case) -> dict[str, Any]:
    ours = graphed(case.ours)
    peers, refused = {}, {}
    for name, run in case.torch_peers.items():
        try:
            peers[name] = graphed(run)
        except (NotImplementedError, RuntimeError) as error:  # such as a dtype that it lacks
            refused[name] = str(error)[:200]
    peers |= {f"{name} (no graph)": eager(run) for name, run in case.cupy_peers.items()}
    floor = floor_us(case.bytes)
    return {
        "case": case.name,
        "bytes": case.bytes,
        "in_l2": case.bytes <= cache_bytes(),
        "us": round(ours, 2),
        "copy_floor_us": round(floor, 3),
        "times_floor": round(ours / floor, 2),
        "peers_us": {name: round(time, 2) for name, time in peers.items()},
        "refused": refused,
        "best_peer_over_ours": round(min(peers.values()) / ours, 2) if peers else None,
    }


def cases() -> list[Case]:
    full, half, brain = torch.float32, torch.float16, torch.bfloat16
    return [
        *(
            warp_case(shape, dtype, layout)
            for shape in ((1, 1, 224, 224), (1, 32, 56, 56), (8, 64, 112, 112))
            for dtype in (full, half)
            for layout in (("planar", "channels_last") if shape[1] > 1 else ("planar",))
        ),
        *(warp_case((1, 32, 56, 56), brain, layout) for layout in ("planar", "channels_last")),
        *(
            correlation_case(c, side, dtype)
            for c, side in ((64, 56), (128, 56), (64, 112), (128, 112))
            for dtype in (full, half)
        ),
        correlation_case(64, 56, brain),
        *(compose_flow_case(side) for side in (112, 224, 256)),
        *(
            make(c, side, dtype)
            for c, side in ((64, 56), (64, 112), (128, 112))
            for dtype in (full, half)
            for make in (warp_correlation_case, two_calls_case)
        ),
        *(polar_case(frames) for frames in (1, 25, 75)),
        polar_case(25, u8=True),
        *(polar_back_case(frames) for frames in (1, 25, 75)),
        *more_cases(),
        *pair_cases(),
    ]


def main() -> None:
    torch.manual_seed(0)
    versions = {"torch": torch.__version__, "cupy": cupy.__version__, "cuda": torch.version.cuda}
    rows = [row(case) for case in cases()]
    figures = {
        "copy_gb_s": round(copy_bandwidth(in_cache=False), 1),
        "copy_in_l2_gb_s": round(copy_bandwidth(in_cache=True), 1),
        "l2_bytes": cache_bytes(),
    }
    print(json.dumps({**figures, "versions": versions, "rows": rows}))


if __name__ == "__main__":
    main()
