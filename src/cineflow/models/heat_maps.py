"""From heat maps to points, inside a graph: the reading of every network that gives heat maps."""

from __future__ import annotations

import torch
from torch import Tensor


def heat_map_points(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The peak of each heat map, between the samples, as `cineflow.motion.landmarks.peaks` has it.

    The highest sample (the first of equals) is moved along each axis to the vertex of the parabola
    through it and its two neighbours, at most by half a sample. A peak at the border, and one with
    an equal neighbour on both sides, stays on its sample along that axis.

    Args:
        maps: [N, K, H, W] floating point; higher is more likely.

    Returns:
        Points f32 [N, K, 2] in samples of the map, x first, and the heights [N, K] of the maps.
    """
    height, width = maps.shape[2:]
    flat = maps.float().flatten(2)  # [N, K, H W]
    top, at = flat.max(dim=2, keepdim=True)  # [N, K, 1] each
    row = torch.div(at, width, rounding_mode="floor")
    column = at - row * width
    x = column + _vertex(flat, at, column, width, 1)
    y = row + _vertex(flat, at, row, height, width)
    return torch.cat([x, y], dim=2), top[..., 0]


def _vertex(flat: Tensor, at: Tensor, position: Tensor, size: int, step: int) -> Tensor:
    """Distance from a peak to the parabola's vertex along one axis, in samples.

    Args:
        flat: [N, K, samples] f32.
        at: [N, K, 1] index of each peak.
        position: [N, K, 1] its position along the axis.
        size: Samples along the axis.
        step: From one sample to the next along the axis, in `flat`.

    Returns:
        [N, K, 1] f32, in -0.5..0.5; 0 where there is no vertex.
    """
    inside = (position > 0) & (position < size - 1)
    away = torch.where(inside, step, 0)
    before = flat.gather(2, at - away)
    here = flat.gather(2, at)
    after = flat.gather(2, at + away)
    curvature = before - 2.0 * here + after
    curved = inside & (curvature < 0)
    vertex = 0.5 * (before - after) / torch.where(curved, curvature, -1.0)
    return torch.where(curved, vertex.clamp(-0.5, 0.5), 0.0)
