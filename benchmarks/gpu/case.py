"""One row of the GPU's table, and what the cases share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom


@dataclass(frozen=True)
class Case:
    """One row: our op, its peers, and the least number of bytes to move."""

    name: str
    bytes: int
    ours: Callable[[], Any]
    torch_peers: dict[str, Callable[[], Any]]
    cupy_peers: dict[str, Callable[[], Any]] = field(default_factory=dict)


def size_of(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).split(".")[1]


def smooth_flow(n: int, *sides: int, device: str = "cuda") -> torch.Tensor:
    """[N, 2, H, W] or [N, 3, D, H, W], pixels."""
    count = len(sides)
    coarse = torch.randn(n, count, *[8] * count, device=device) * 4
    mode = "bicubic" if count == 2 else "trilinear"
    return F.interpolate(coarse, sides, mode=mode).contiguous()


def pixels_at(flow: torch.Tensor) -> torch.Tensor:
    """The positions that the pixels of `flow` [N, 2 or 3, ...] point to: x, then y, then z."""
    axes = torch.meshgrid(*map(torch.arange, flow.shape[2:]), indexing="ij")
    return torch.stack(axes[::-1]).to(flow.device) + flow


def normalised(at: torch.Tensor, *sides: int) -> torch.Tensor:
    """Positions [N, 2 or 3, ...] in images of `sides` as a grid for grid_sample with aligned
    corners."""
    last = torch.tensor(sides[::-1], device=at.device).view(1, -1, *[1] * len(sides)) - 1
    return (2 * at / last - 1).movedim(1, -1).contiguous()
