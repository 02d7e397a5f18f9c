"""What the default tracker's 2-D and 3-D forms share: dense pyramidal Lucas-Kanade.

Levels of a pyramid are solved from coarse to fine. Each level warps the current frame by the flow
so far. The correction is the weighted least-squares translation of the tissue around every point
(Lucas and Kanade 1981; pyramid after Bouguet 2001). The graph contains only convolutions, pooling,
linear resizing, arithmetic and `cineflow::Warp`, which every runtime supports.

Differences from the textbook method:

- Gradients are the mean over both frames, after the warp. The gradients of a single frame are
  attenuated by its noise, which shortens every motion.
- The low-frequency part of the grey level is removed first: the edge of a shadow stands still while
  the tissue moves through it. The dark gaps of the speckle are clipped: log compression makes them
  deep, and they decorrelate first.
- The normal equations are gathered on a grid of cells. Everything after that, also the flow, stays
  on the grid, so each level reads its pixels once.
- An observation is weighted by the inverse of the variance that the motion leaves unexplained, so
  blood and noise hardly count. The weights are computed again once a motion is known. Before that,
  the wall, where motion changes fastest, would count least.
- Refinement needs no new warp. The part that the current motion explains is subtracted from the
  gathered equations and the rest is solved again (twicing, Tukey 1977). This undoes the blur of the
  window. The window can then be wide enough against noise without flattening radial strain.
- The black area around a scan sector is ignored: its border stands still while the tissue moves.

On the CPU, planes are kept together as channels of one tensor and convolutions are depthwise,
because ONNX Runtime pads any other convolution to 16 channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow.warp
from cineflow.errors import ArgumentError

#: Grid cells over which the unexplained variance is averaged. The variance of a single cell would
#: favour those observations that, by chance, show no motion.
_AROUND = 5

#: By the rank of a tensor: images are [B, C, H, W], volumes [B, C, D, H, W].
_CONVOLVE: Mapping[int, Callable[..., Tensor]] = {4: F.conv2d, 5: F.conv3d}
_LARGEST: Mapping[int, Callable[..., Tensor]] = {4: F.max_pool2d, 5: F.max_pool3d}
_LINEAR = {4: "bilinear", 5: "trilinear"}


class PyramidTracker(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    A subclass says how many axes a frame has and how the normal equations of one cell are made and
    inverted. Below, n is the number of axes, "..." a frame's sizes, "cells" those of the level's
    grid.

    Args:
        sigma: Standard deviation of the Gaussian window in pixels of each level, finest first. Its
            length is the number of levels.
        refinements: Number of refinements on each level, finest first.
        slow: Standard deviation, px, of the Gaussian mean that is subtracted from each frame.
        trust: Unexplained grey-level variance at which an observation counts half.
        floor: Grey levels below the local mean at which the gaps of the speckle are clipped.
        ridge: Added to the diagonal terms of the normal equations, (grey level / px)^2. Where the
            texture is weaker than this, the motion stays close to the coarser level's.

    Raises:
        ArgumentError: `refinements` and `sigma` differ in length, not 1 to 4 levels, or a scale
            that is not positive.
    """

    #: Pixels per grid cell along each axis, by level.
    cells: ClassVar[tuple[int, ...]]
    #: Axes of a frame: 2 or 3.
    axes: ClassVar[int]

    blur: Tensor
    around: Tensor

    def __init__(
        self,
        sigma: Sequence[float],
        refinements: Sequence[int],
        slow: float,
        trust: float,
        floor: float,
        ridge: float,
    ) -> None:
        super().__init__()
        if (
            len(sigma) != len(refinements)
            or not 1 <= len(sigma) <= len(self.cells)
            or min(*sigma, slow, trust, floor, ridge) <= 0
            or min(refinements) < 0
        ):
            raise ArgumentError(
                f"one positive sigma and one number of refinements for each of 1 to "
                f"{len(self.cells)} levels, and slow, trust, floor and ridge above zero",
                f"{list(sigma)}, {list(refinements)}, {slow}, {trust}, {floor}, {ridge}",
            )
        self.refinements = tuple(refinements)
        self.trust = trust
        self.floor = floor
        self.ridge = ridge
        self.register_buffer("blur", _gaussian(slow / self.cells[0]))
        self.register_buffer("around", torch.full((_AROUND,), 1.0 / _AROUND))
        for level, pixels in enumerate(sigma):
            self.register_buffer(f"window_{level}", _gaussian(pixels / self.cells[level]))

    def track(self, previous: Tensor, current: Tensor) -> Tensor:
        """Flow [B, n, ...] px of a pair of frames [B, 1, ...]; see `forward` of the subclasses."""
        frames = torch.cat([previous, current], dim=1)
        pyramid = [self._flatten(frames)]
        inside = [_seen(frames, self.cells[0])]
        for level in range(1, len(self.refinements)):
            pyramid.append(pool(pyramid[-1], 2))
            same = self.cells[level] != self.cells[level - 1]  # smaller cells: the same grid
            largest = _LARGEST[frames.ndim]
            inside.append(inside[-1] if same else -largest(-inside[-1], 2))

        flow: Tensor | None = None
        for level in reversed(range(len(pyramid))):
            a, b = pyramid[level].split(1, dim=1)
            if flow is not None:
                # A pixel of this level is half as wide as one of the previous level.
                flow = 2.0 * _enlarge(flow, 2 * self.cells[level + 1] // self.cells[level])
                b = torch.ops.cineflow.warp(b, _enlarge(flow, self.cells[level]), "clamp")
            step = self._measure(a, b, inside[level], level)
            flow = step if flow is None else flow + step
        assert flow is not None  # there is at least one level
        return _enlarge(flow, self.cells[0])

    # -- for the subclasses ------------------------------------------------------------------------

    def slopes(self, mean: Tensor) -> Tensor:
        """Gradient of `mean` [B, 1, ...], [B, n, ...], x first, grey levels per px.

        It is a difference of neighbours along one axis, smoothed along the others. `mean` has a
        border of 1 px, which the result lacks.
        """
        raise NotImplementedError

    def products(self, slopes: Tensor, a: Tensor, b: Tensor, cell: int) -> tuple[Tensor, Tensor]:
        """Normal equations of each grid cell, before any window.

        Args:
            slopes: Gradient [B, n, ...], x first, grey levels per px.
            a, b: The earlier and the later frame, [B, 1, ...], grey levels.
            cell: Pixels per grid cell along each axis.

        Returns:
            equations [B, n (n + 1), cells], (grey level)^2 over px: n planes for each unknown, x
            first, then n planes of targets. The sum of each unknown times its planes should equal
            the targets.
            left [B, 1, cells]: grey-level variance that is not explained yet.
        """
        raise NotImplementedError

    def inverse(self, sums: tuple[Tensor, ...]) -> list[Tensor]:
        """Columns of the inverse of the windowed normal equations, n of [B, n, cells].

        Args:
            sums: The n x n planes in the order of `products`, each [B, 1, cells], without ridge.
        """
        raise NotImplementedError

    # -- one level ---------------------------------------------------------------------------------

    def _measure(self, a: Tensor, b: Tensor, inside: Tensor, level: int) -> Tensor:
        """Motion from `a` to `b`, both [B, 1, ...], on the level's grid, [B, n, cells] px."""
        equations, left = self._gather(a, b, self.cells[level])
        flow = self._solve(equations * self._weight(left, inside), level, 0)
        if self.refinements[level]:
            *parts, target = equations.split(self.axes, dim=1)
            components = flow.split(1, dim=1)
            unexplained = 2.0 * target
            for part, along in zip(parts, components, strict=True):
                unexplained = unexplained - part * along
            left = left - (flow * unexplained).sum(dim=1, keepdim=True)
            weight = self._weight(left, inside)
            flow = self._solve(equations * weight, level, self.refinements[level])
        return flow

    def _gather(self, a: Tensor, b: Tensor, cell: int) -> tuple[Tensor, Tensor]:
        """`products` of two frames [B, 1, ...]."""
        mean = F.pad(0.5 * (a + b), (1, 1) * self.axes, mode="replicate")
        return self.products(self.slopes(mean), a, b, cell)

    def _weight(self, left: Tensor, inside: Tensor) -> Tensor:
        """Weight of an observation, 0..1, [B, 1, cells], from its unexplained variance `left`."""
        around = torch.clamp(_smooth(left, self.around), min=0.0)
        return inside * (self.trust / (around + self.trust))

    def _solve(self, equations: Tensor, level: int, refinements: int) -> Tensor:
        """Windowed least squares of weighted `equations`, [B, n, cells] px."""
        n = self.axes
        *parts, target = equations.split(n, dim=1)
        sums = self._window(equations, level).split(1, dim=1)
        columns = self.inverse(sums[: n * n])
        flow = columns[0] * sums[n * n]
        for column, along in zip(columns[1:], sums[n * n + 1 :], strict=True):
            flow = flow + column * along
        for _ in range(refinements):
            rest = target
            for part, along in zip(parts, flow.split(1, dim=1), strict=True):
                rest = rest - part * along
            remaining = self._window(rest, level).split(1, dim=1)
            for column, along in zip(columns, remaining, strict=True):
                flow = flow + column * along
        return flow

    def _flatten(self, frames: Tensor) -> Tensor:
        """Frames minus their low-frequency part, since its changes of brightness are not motion."""
        slow = _smooth(pool(frames, self.cells[0]), self.blur)
        return torch.clamp(frames - _enlarge(slow, self.cells[0]), min=-self.floor)

    def _window(self, x: Tensor, level: int) -> Tensor:
        """Gaussian-weighted sums of each channel. Outside counts 0, so borders weigh less."""
        kernel = self.get_buffer(f"window_{level}")
        return _separable(x, kernel, kernel.shape[0] // 2)


def pool(x: Tensor, size: int) -> Tensor:
    """Mean over cells of `size` px along each axis. As a convolution, which is faster than
    AveragePool."""
    channels, axes = x.shape[1], x.ndim - 2
    share = 1.0 / size**axes
    mean = torch.full((channels, 1, *[size] * axes), share, dtype=x.dtype, device=x.device)
    return _CONVOLVE[x.ndim](x, mean, stride=size, groups=channels)


def _separable(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
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


def _smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Means of each channel under `kernel` [K]; the border's value is repeated outside."""
    half = kernel.shape[0] // 2
    return _separable(F.pad(x, (half, half) * (x.ndim - 2), mode="replicate"), kernel, 0)


def _gaussian(sigma: float) -> Tensor:
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
