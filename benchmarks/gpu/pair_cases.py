"""Cases of RAFT's correlation, of the correlation of patches and of the Lucas-Kanade step."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom

from benchmarks.gpu.case import Case, pixels_at, size_of, smooth_flow
from benchmarks.ops.correlation_pyramid import LEVELS, RADIUS, SAMPLES, levels_of, product
from benchmarks.ops.lucas_kanade_step import CELL, SIGMA, gaussian, step_of_torch
from benchmarks.ops.patches import FRAMES, MAPS, POINTS, SIZE, patches_of_torch
from cineflow import ops


def pair_cases(device: str = "cuda") -> list[Case]:
    return [
        *(make(128, side, device) for side in (28, 56) for make in (raft_volume, raft_lookup)),
        raft_on_demand(128, 56, device),
        *(patch_correlation(pool, device) for pool in ((4, 4), (8, 1))),
        *(lucas_kanade_step(256, refinements, device) for refinements in (0, 8)),
    ]


def raft_volume(c: int, side: int, device: str) -> Case:
    f1, f2 = _maps(c, side, device)
    wanted = torch.cat([level.view(side * side, -1) for level in levels_of(f1, f2)], 1)
    out = torch.empty(1, side, side, wanted.shape[1], device=device)
    ours = ops.correlation_pyramid(f1, f2, out=out)
    torch.testing.assert_close(ours.view(wanted.shape), wanted, rtol=0, atol=5e-3)
    return Case(
        f"correlation_pyramid C{c} {side}^2",
        size_of(f1, f2, out),
        lambda: ops.correlation_pyramid(f1, f2, out=out),
        {
            "torch matmul, avg_pool2d": lambda: levels_of(f1, f2),
            "torch matmul, no levels": lambda: product(f1, f2),
        },
    )


def raft_lookup(c: int, side: int, device: str) -> Case:
    """The peer gets its grids."""
    f1, f2 = _maps(c, side, device)
    pyramid, levels = ops.correlation_pyramid(f1, f2), levels_of(f1, f2)
    coords = pixels_at(smooth_flow(1, side, side, device=device))
    grids = _grids(coords, levels)
    out = torch.empty(1, LEVELS * SAMPLES, side, side, device=device)
    ours = ops.correlation_lookup(pyramid, coords, out=out)
    torch.testing.assert_close(ours, _windows(levels, grids, side), rtol=0, atol=5e-3)
    columns = 2 * RADIUS + 2
    read = side * side * sum(min(side >> level, columns) ** 2 for level in range(LEVELS))
    return Case(
        f"correlation_lookup C{c} {side}^2 r{RADIUS}",
        4 * read + size_of(coords, out),
        lambda: ops.correlation_lookup(pyramid, coords, out=out),
        {"torch grid_sample per level (grids ready)": lambda: _windows(levels, grids, side)},
    )


def raft_on_demand(c: int, side: int, device: str) -> Case:
    """One look-up. The peer computes the volume for it, and gets its grids."""
    f1, f2 = _maps(c, side, device)
    features = ops.feature_pyramid(f2)
    coords = pixels_at(smooth_flow(1, side, side, device=device))
    grids = _grids(coords, levels_of(f1, f2))
    out = torch.empty(1, LEVELS * SAMPLES, side, side, device=device)

    def volume_then_windows() -> torch.Tensor:
        return _windows(levels_of(f1, f2), grids, side)

    ours = ops.correlation_on_demand(f1, features, coords, out=out)
    torch.testing.assert_close(ours, volume_then_windows(), rtol=0, atol=5e-3)
    return Case(
        f"correlation_on_demand C{c} {side}^2 r{RADIUS}",
        size_of(f1, features, coords, out),
        lambda: ops.correlation_on_demand(f1, features, coords, out=out),
        {"torch volume, levels, grid_sample (grids ready)": volume_then_windows},
    )


def patch_correlation(pool: tuple[int, int], device: str) -> Case:
    """One iteration over all maps."""
    inside = 0.3 + 0.4 * torch.rand(1, POINTS, 2, device=device)
    moved = inside + 0.02 * torch.randn(FRAMES, POINTS, 2, device=device)
    given = [
        [
            torch.rand(1, c, side, side, device=device),
            torch.rand(FRAMES, c, side, side, device=device),
            inside * side,
            moved * side,
        ]
        for c, side in MAPS
    ]
    cells = [(SIZE // block) ** 2 for block in pool]
    results = [torch.empty(FRAMES, POINTS, *cells, device=device) for _ in MAPS]

    def ours() -> list[torch.Tensor]:
        return [
            ops.patch_correlation(*tensors, size=SIZE, pool=pool, out=out)
            for tensors, out in zip(given, results, strict=True)
        ]

    def peer() -> list[torch.Tensor]:
        return [patches_of_torch(tensors, pool) for tensors in given]

    for one, other in zip(ours(), peer(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=5e-3)
    channels = sum(c for c, _ in MAPS)
    read = 4 * (SIZE + 1) ** 2 * channels * (FRAMES + 1) * POINTS
    return Case(
        f"patch_correlation {len(MAPS)} maps, {FRAMES} frames, pool {pool[0]}, {pool[1]}",
        read + size_of(*results),
        ours,
        {"torch grid_sample, avg_pool2d, matmul": peer},
    )


def lucas_kanade_step(side: int, refinements: int, device: str) -> Case:
    """One level of the tracker. The op also allocates its workspace."""
    previous = 60 * F.avg_pool2d(torch.randn(1, 1, side + 4, side + 4, device=device), 5, 1)
    current = previous.roll(1, 3) + torch.randn(1, 1, side, side, device=device)
    mask = torch.ones(1, 1, side // CELL, side // CELL, device=device)
    out = torch.empty(1, 2, side // CELL, side // CELL, device=device)
    window = gaussian()

    def ours() -> torch.Tensor:
        return ops.lucas_kanade_step(
            previous, current, mask, cell=CELL, sigma=SIGMA, refinements=refinements, out=out
        )

    def peer() -> torch.Tensor:
        return step_of_torch(previous, current, mask, window, refinements)

    torch.testing.assert_close(ours(), peer(), rtol=0, atol=5e-3)
    return Case(
        f"lucas_kanade_step {side}^2, {refinements} refinements",
        size_of(previous, current, mask, out),
        ours,
        {"torch convolutions": peer},
    )


def _maps(c: int, side: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    f1, f2 = torch.randn(2, 1, c, side, side, device=device)
    return f1, f2


def _grids(coords: torch.Tensor, levels: list[torch.Tensor]) -> list[torch.Tensor]:
    """The normalised windows of each level, x displacement first, as RAFT's."""
    steps = torch.linspace(-RADIUS, RADIUS, 2 * RADIUS + 1, device=coords.device)
    delta = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    centres = coords.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    grids = []
    for number, level in enumerate(levels):
        last = torch.tensor([level.shape[3] - 1, level.shape[2] - 1], device=coords.device)
        grids.append(2 * (centres / 2**number + delta) / last - 1)
    return grids


def _windows(levels: list[torch.Tensor], grids: list[torch.Tensor], side: int) -> torch.Tensor:
    found = [
        F.grid_sample(level, grid, align_corners=True).view(1, side, side, SAMPLES)
        for level, grid in zip(levels, grids, strict=True)
    ]
    return torch.cat(found, -1).permute(0, 3, 1, 2).contiguous()
