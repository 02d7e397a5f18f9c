"""What a call costs before and after its kernel: small torch tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from benchmarks.ops.case import Case
from cineflow import ops

SIDE = 8


def small_call() -> Case:
    """The goal is a sixth of the speed of `torch.add`: 6 times its time, allocation included.

    The kernel itself takes a fraction of a microsecond on images of this size.
    """
    generator = torch.Generator().manual_seed(0)
    src = torch.rand(1, 1, SIDE, SIDE, generator=generator)
    flow = torch.rand(1, 2, SIDE, SIDE, generator=generator)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    at = torch.stack([x, y], -1) + flow.permute(0, 2, 3, 1)
    grid = 2 * at / (SIDE - 1) - 1

    def ours() -> torch.Tensor:
        return ops.warp(src, flow)

    def sample() -> torch.Tensor:
        return functional.grid_sample(src, grid, align_corners=True)

    return Case(
        f"call: warp 1×1×{SIDE}² of torch tensors",
        ours,
        {"torch.add": lambda: torch.add(src, src), "torch grid_sample (grid ready)": sample},
        4 * (2 * src.numel() + flow.numel()),
        10 * src.numel(),
        float(np.abs(ours().numpy() - sample().numpy()).max()),
        wanted=1 / 6,
    )
