"""What the default tracker's 2-D and 3-D forms share: dense pyramidal Lucas-Kanade.

Levels of a pyramid are solved from coarse to fine, each in one pass or more. Each pass warps the
current frame by the flow so far. The correction is the weighted least-squares translation of the
tissue around every point (Lucas and Kanade 1981; pyramid after Bouguet 2001). `step` of a subclass
computes it: that of images is an op, `cineflow::LucasKanadeStep`. The rest is convolutions,
pooling, linear resizing, arithmetic and `cineflow::Warp`, which every runtime supports.

Differences from the textbook method:

- Gradients are the mean over both frames, after the warp. The gradients of a single frame are
  attenuated by its noise, which shortens every motion.
- The low-frequency part of the grey level is removed first: the edge of a shadow stands still while
  the tissue moves through it. The dark gaps of the speckle are clipped: log compression makes them
  deep, and they decorrelate first.
- The normal equations are gathered on a grid of cells. Everything after that, also the flow, stays
  on the grid, so each pass reads its pixels once.
- An observation is weighted by the inverse of the variance that the motion leaves unexplained, so
  blood and noise hardly count. The weights are computed again once a motion is known. Before that,
  the wall, where motion changes fastest, would count least.
- Refinement needs no new warp. The part that the current motion explains is subtracted from the
  gathered equations and the rest is solved again (twicing, Tukey 1977). This undoes the blur of the
  window. The window can then be wide enough against noise without flattening radial strain.
- The black area around a scan sector is ignored: its border stands still while the tissue moves.

Convolutions are depthwise, because ONNX Runtime pads any other convolution to 16 channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow.warp
from cineflow.errors import ArgumentError

#: By the rank of a tensor: images are [B, C, H, W], volumes [B, C, D, H, W].
_CONVOLVE: Mapping[int, Callable[..., Tensor]] = {4: F.conv2d, 5: F.conv3d}
_LARGEST: Mapping[int, Callable[..., Tensor]] = {4: F.max_pool2d, 5: F.max_pool3d}
_LINEAR = {4: "bilinear", 5: "trilinear"}


class PyramidTracker(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    A subclass says how many axes a frame has, and how one level is solved. Below, n is the number
    of axes, "..." a frame's sizes, "cells" those of the level's grid.

    Args:
        sigma: Standard deviation of the Gaussian window of each pass in pixels of its level, last
            pass first.
        refinements: Number of refinements of each pass, last first.
        slow: Standard deviation, px, of the Gaussian mean that is subtracted from each frame.
        trust: Unexplained grey-level variance at which an observation counts half.
        floor: Grey levels below the local mean at which the gaps of the speckle are clipped.
        ridge: Of each pass, last first: added to the diagonal terms of the normal equations,
            (grey level / px)^2. Where the texture is weaker than this, the motion stays close to
            that of the pass before.
        levels: Level of the pyramid of each pass, last first, where 0 is the finest. The last pass
            is on level 0, and each pass on the same level as the one before it or the next finer.

    Raises:
        ArgumentError: `refinements`, `sigma`, `ridge` and `levels` differ in length, a wrong order
            of levels or too many, or a scale that is not positive.
    """

    #: Pixels per grid cell along each axis, by level.
    cells: ClassVar[tuple[int, ...]]
    #: Axes of a frame: 2 or 3.
    axes: ClassVar[int]

    blur: Tensor

    def __init__(
        self,
        sigma: Sequence[float],
        refinements: Sequence[int],
        slow: float,
        trust: float,
        floor: float,
        ridge: Sequence[float],
        levels: Sequence[int],
    ) -> None:
        super().__init__()
        if (
            not 1 <= len(sigma) == len(refinements) == len(ridge) == len(levels)
            or levels[0] != 0
            or any(coarser - finer not in (0, 1) for finer, coarser in pairwise(levels))
            or not levels[-1] < len(self.cells)
            or min(*sigma, *ridge, slow, trust, floor) <= 0
            or min(refinements) < 0
        ):
            raise ArgumentError(
                f"one positive sigma and ridge, one number of refinements and one level for each "
                f"pass, levels from 0 up without a gap, 1 to {len(self.cells)} levels, and slow, "
                f"trust and floor above zero",
                f"{list(sigma)}, {list(ridge)}, {list(refinements)}, {list(levels)}, {slow}, "
                f"{trust}, {floor}",
            )
        self.refinements = tuple(refinements)
        self.levels = tuple(levels)
        self.trust = trust
        self.floor = floor
        self.ridge = tuple(ridge)
        self.register_buffer("blur", gaussian(slow / self.cells[0]))

    def track(self, previous: Tensor, current: Tensor) -> Tensor:
        """Flow [B, n, ...] px of a pair of frames [B, 1, ...]; see `forward` of the subclasses."""
        frames = torch.cat([previous, current], dim=1)
        pyramid = [self._flatten(frames)]
        inside = [_seen(frames, self.cells[0])]
        for level in range(1, max(self.levels) + 1):
            pyramid.append(pool(pyramid[-1], 2))
            same = self.cells[level] != self.cells[level - 1]  # smaller cells: the same grid
            largest = _LARGEST[frames.ndim]
            inside.append(inside[-1] if same else -largest(-inside[-1], 2))

        flow: Tensor | None = None
        before = len(pyramid)
        for at, level in reversed(list(enumerate(self.levels))):
            a, b = pyramid[level].split(1, dim=1)
            if flow is not None:
                if level < before:
                    # A pixel of this level is half as wide as one of the level before.
                    flow = 2.0 * _enlarge(flow, 2 * self.cells[before] // self.cells[level])
                finer = _enlarge(flow, self.cells[level])
                b = torch.ops.cineflow.warp(src=b, flow=finer, border="clamp")
            step = self.step(a, b, inside[level], at)
            flow = step if flow is None else flow + step
            before = level
        assert flow is not None  # there is at least one level
        return _enlarge(flow, self.cells[0])

    def step(self, a: Tensor, b: Tensor, inside: Tensor, at: int) -> Tensor:
        """Motion from `a` to `b`, on the grid of the pass's level, [B, n, cells] px.

        Args:
            a, b: The earlier frame, and the later one warped by the flow so far, [B, 1, ...].
            inside: 1 in cells that count, else 0, [B, 1, cells].
            at: The pass; 0 is the last.
        """
        raise NotImplementedError

    def _flatten(self, frames: Tensor) -> Tensor:
        """Frames minus their low-frequency part, since its changes of brightness are not motion."""
        slow = smooth(pool(frames, self.cells[0]), self.blur)
        return torch.clamp(frames - _enlarge(slow, self.cells[0]), min=-self.floor)


def pool(x: Tensor, size: int) -> Tensor:
    """Mean over cells of `size` px along each axis. As a convolution, which is faster than
    AveragePool."""
    channels, axes = x.shape[1], x.ndim - 2
    share = 1.0 / size**axes
    mean = torch.full((channels, 1, *[size] * axes), share, dtype=x.dtype, device=x.device)
    return _CONVOLVE[x.ndim](x, mean, stride=size, groups=channels)


def separable(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Each channel of `x` [B, C, ...] convolved with `kernel` [K] along every axis."""
    channels, axes = x.shape[1], x.ndim - 2
    steps = []
    for axis in range(axes):
        shape, around = [1] * axes, [0] * axes
        shape[axis], around[axis] = -1, padding
        steps.append((kernel.view(1, 1, *shape).expand(channels, -1, *[-1] * axes), around))
    for weight, around in steps:
        x = _CONVOLVE[x.ndim](x, weight, padding=around, groups=channels)
    return x


def smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Means of each channel under `kernel` [K]; the border's value is repeated outside."""
    half = kernel.shape[0] // 2
    return separable(F.pad(x, (half, half) * (x.ndim - 2), mode="replicate"), kernel, 0)


def gaussian(sigma: float) -> Tensor:
    """Unit-sum Gaussian, cut at 2.5 sigma, [2 * ceil(2.5 * sigma) + 1]."""
    half = max(1, math.ceil(2.5 * sigma))
    weight = torch.exp(-(torch.arange(-half, half + 1) ** 2) / (2.0 * sigma * sigma))
    return weight / weight.sum()


def _seen(frames: Tensor, cell: int) -> Tensor:
    """0 in and next to cells that are black in both frames, 1 elsewhere, [B, 1, cells]."""
    largest = _LARGEST[frames.ndim]
    bright = largest(frames, cell).amax(dim=1, keepdim=True)
    black = 1.0 - torch.clamp(bright, 0.0, 1.0)
    return 1.0 - largest(black, 3, stride=1, padding=1)


def _enlarge(x: Tensor, factor: int) -> Tensor:
    """Linear enlargement along each axis; pixel centres stay where they are.

    Volumes are not resized slice by slice, although torch is faster at that: the exporter takes
    minutes to work out the sizes of merged axes.
    """
    if factor == 1:
        return x
    mode = _LINEAR[x.ndim]
    return F.interpolate(x, scale_factor=float(factor), mode=mode, align_corners=False)
