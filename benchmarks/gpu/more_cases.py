"""Cases of volumes and of scan conversion."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom

from benchmarks.gpu.case import Case, name_of, normalised, pixels_at, size_of, smooth_flow
from benchmarks.ops.peers import banded_gemms_3d
from cineflow import ops


def more_cases() -> list[Case]:
    full, half = torch.float32, torch.float16
    return [
        *(warp_volume(c, side, full) for c, side in ((1, 96), (16, 48))),
        warp_volume(16, 48, half),
        compose_flow_volume(64),
        *(correlation_volume(16, 24, radius) for radius in (2, 4)),
        warp_correlation_volume(16, 24, 2),
        *(
            scan_convert(u8, to_bytes)
            for u8, to_bytes in ((False, False), (True, False), (True, True))
        ),
        scan_convert_volume(),
    ]


def warp_volume(c: int, side: int, dtype: torch.dtype) -> Case:
    src = torch.rand(1, c, side, side, side, device="cuda").to(dtype)
    flow = smooth_flow(1, side, side, side)
    out = torch.empty_like(src)
    grid = normalised(pixels_at(flow), side, side, side).to(dtype)
    return Case(
        f"warp 1x{c}x{side}^3 {name_of(dtype)}",
        size_of(src, flow, out),
        lambda: ops.warp(src, flow, out=out),
        {"torch grid_sample (grid ready)": lambda: F.grid_sample(src, grid, align_corners=True)},
    )


def compose_flow_volume(side: int) -> Case:
    """The peer gets its grid, warps and adds."""
    displacement, flow = (smooth_flow(1, side, side, side) for _ in range(2))
    out = torch.empty_like(flow)
    grid = normalised(pixels_at(displacement), side, side, side)

    def sample_and_add() -> torch.Tensor:
        return displacement + F.grid_sample(flow, grid, align_corners=True)

    ours = ops.compose_flow(displacement, flow, out=out)
    torch.testing.assert_close(ours, sample_and_add(), rtol=0, atol=5e-3)
    return Case(
        f"compose_flow {side}^3",
        size_of(displacement, flow, out),
        lambda: ops.compose_flow(displacement, flow, out=out),
        {"torch grid_sample, add (grid ready)": sample_and_add},
    )


def correlation_volume(c: int, side: int, radius: int) -> Case:
    f1, f2 = (torch.rand(1, c, side, side, side, device="cuda") for _ in range(2))
    out = torch.empty(1, (2 * radius + 1) ** 3, side, side, side, device="cuda")

    def banded() -> torch.Tensor:
        return banded_gemms_3d(f1, f2, radius)

    ours = ops.correlation(f1, f2, radius=radius, out=out)
    torch.testing.assert_close(ours, banded(), rtol=0, atol=5e-3)
    return Case(
        f"correlation C{c} {side}^3 r{radius}",
        size_of(f1, f2, out),
        lambda: ops.correlation(f1, f2, radius=radius, out=out),
        {"torch banded GEMMs": banded},
    )


def warp_correlation_volume(c: int, side: int, radius: int) -> Case:
    """The peer gets its grid, and stores the warped map."""
    f1, f2 = (torch.rand(1, c, side, side, side, device="cuda") for _ in range(2))
    flow = smooth_flow(1, side, side, side)
    out = torch.empty(1, (2 * radius + 1) ** 3, side, side, side, device="cuda")
    grid = normalised(pixels_at(flow), side, side, side)

    def sample_then_banded() -> torch.Tensor:
        return banded_gemms_3d(f1, F.grid_sample(f2, grid, align_corners=True), radius)

    ours = ops.warp_correlation(f1, f2, flow, radius=radius, out=out)
    torch.testing.assert_close(ours, sample_then_banded(), rtol=0, atol=5e-3)
    return Case(
        f"warp_correlation C{c} {side}^3 r{radius}",
        size_of(f1, f2, flow, out),
        lambda: ops.warp_correlation(f1, f2, flow, radius=radius, out=out),
        {
            "cineflow in two calls": lambda: ops.correlation(f1, ops.warp(f2, flow), radius=radius),
            "torch grid_sample, banded GEMMs (grid ready)": sample_then_banded,
        },
    )


def scan_convert(u8: bool, to_bytes: bool) -> Case:
    """192 lines of 1024 samples to 800 x 600. The peer gets its grid; from uint8 it converts, and
    gives float32."""
    lines, samples, height, width = 192, 1024, 600, 800
    reach = math.radians(37.5)
    probe = ops.ProbeGeometry(
        lines, samples, first_angle=-reach, last_angle=reach, last_depth=height - 1.0,
        face=(width / 2, 0.0),
    )  # fmt: skip
    src = torch.rand(1, 1, lines, samples, device="cuda")
    if u8:
        src = (255 * src).to(torch.uint8)
    kind = torch.uint8 if to_bytes else torch.float32
    out = torch.empty(1, 1, height, width, device="cuda", dtype=kind)
    rows = torch.arange(float(height), device="cuda")
    columns = torch.arange(float(width), device="cuda") - width / 2
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    sample = torch.hypot(x, y) / (height - 1) * (samples - 1)
    line = (torch.atan2(x, y) + reach) / (2 * reach) * (lines - 1)
    grid = normalised(torch.stack([sample, line])[None], lines, samples)

    def grid_sample() -> torch.Tensor:
        return F.grid_sample(src.float(), grid, align_corners=True)

    inside = torch.from_numpy(ops.scan_mask(probe, (height, width))).cuda()
    ours = ops.scan_convert(src, probe, (height, width), out=out)[0, 0]
    tolerance = 1.5 if to_bytes else 1.0 if u8 else 5e-3  # neighbours of noise differ by up to 255
    wanted = grid_sample()[0, 0]
    torch.testing.assert_close(ours[inside].float(), wanted[inside], rtol=0, atol=tolerance)
    return Case(
        f"scan_convert {samples}x{lines} lines to {width}x{height} {name_of(src.dtype)}"
        + (" to uint8" if to_bytes else ""),
        size_of(src, out),
        lambda: ops.scan_convert(src, probe, (height, width), out=out),
        {"torch grid_sample (grid ready)": grid_sample},
    )


def scan_convert_volume() -> Case:
    """64 planes of 64 lines of 256 samples, uint8, to 128^3. The peer converts to float32."""
    planes, lines, samples, side = 64, 64, 256, 128
    reach, middle = math.radians(35), side / 2
    plane = ops.ProbeGeometry(
        lines, samples, first_angle=-reach, last_angle=reach, last_depth=side - 1.0,
        face=(middle, 0.0),
    )  # fmt: skip
    pyramid = ops.VolumeGeometry(plane, planes, -reach, reach, face_z=middle)
    src = torch.randint(0, 256, (1, 1, planes, lines, samples), device="cuda", dtype=torch.uint8)
    out = torch.empty(1, 1, side, side, side, device="cuda")
    count = torch.arange(float(side), device="cuda")
    z, y, x = torch.meshgrid(count - middle, count, count - middle, indexing="ij")
    depth = torch.hypot(y, z)
    at = [
        torch.hypot(x, depth) / (side - 1) * (samples - 1),
        (torch.atan2(x, depth) + reach) / (2 * reach) * (lines - 1),
        (torch.atan2(z, y) + reach) / (2 * reach) * (planes - 1),
    ]
    grid = normalised(torch.stack(at)[None], planes, lines, samples)

    def grid_sample() -> torch.Tensor:
        return F.grid_sample(src.float(), grid, align_corners=True)

    size = (side, side, side)
    inside = torch.from_numpy(ops.scan_mask(pyramid, size)).cuda()
    ours = ops.scan_convert(src, pyramid, size, out=out)[0, 0]
    torch.testing.assert_close(ours[inside], grid_sample()[0, 0][inside], rtol=0, atol=1.0)
    return Case(
        f"scan_convert {planes}x{lines} lines of {samples} to {side}^3 uint8",
        size_of(src, out),
        lambda: ops.scan_convert(src, pyramid, size, out=out),
        {"torch grid_sample (grid ready)": grid_sample},
    )
