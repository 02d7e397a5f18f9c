"""Dense pyramidal Lucas-Kanade as a static graph: motion without training.

Levels of an image pyramid are solved from coarse to fine. Each level warps the current frame by the
flow so far. The correction is the weighted least-squares translation of the tissue around every
point (Lucas and Kanade 1981; pyramid after Bouguet 2001). The graph contains only convolutions,
pooling, bilinear resizing, arithmetic and `cineflow::Warp`, which every runtime supports.

Differences from the textbook method:

- Gradients are the mean over both frames, after the warp. The gradients of a single frame are
  attenuated by its noise, which shortens every motion.
- The low-frequency part of the grey level is removed first: the edge of a shadow stands still while
  the tissue moves through it. The dark gaps of the speckle are clipped: log compression makes them
  deep, and they decorrelate first.
- The normal equations are gathered on a grid of every fourth pixel. Everything after that, also the
  flow, stays on the grid, so each level reads its pixels once.
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
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow.warp
from cineflow.errors import ArgumentError

#: Pixels per grid cell, by level. Frames are a multiple of 16 px, so the coarsest of four levels is
#: a multiple of 2 px.
_GRID = (4, 4, 4, 2)

#: Grid cells over which the unexplained variance is averaged. The variance of a single cell would
#: favour those observations that, by chance, show no motion.
_AROUND = 5

_SOBEL = torch.tensor([0.25, 0.5, 0.25])
_SLOPE = torch.tensor([-0.5, 0.0, 0.5])


class LucasKanade(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        sigma: Standard deviation of the Gaussian window in pixels of each level, finest first. Its
            length is the number of levels.
        refinements: Number of refinements on each level, finest first.
        slow: Standard deviation, px, of the Gaussian mean that is subtracted from each frame.
        trust: Unexplained grey-level variance at which an observation counts half.
        floor: Grey levels below the local mean at which the gaps of the speckle are clipped.
        ridge: Added to both diagonal terms of the normal equations, (grey level / px)^2. Where the
            texture is weaker than this, the motion stays close to the coarser level's.

    Raises:
        ArgumentError: `refinements` and `sigma` differ in length, not 1 to 4 levels, or a scale
            that is not positive.
    """

    gradients: Tensor
    blur: Tensor
    around: Tensor

    def __init__(
        self,
        sigma: Sequence[float] = (14.0, 11.0, 10.0, 10.0),
        refinements: Sequence[int] = (8, 0, 2, 3),
        slow: float = 6.5,
        trust: float = 8.0,
        floor: float = 25.0,
        ridge: float = 1.0,
    ) -> None:
        super().__init__()
        if (
            len(sigma) != len(refinements)
            or not 1 <= len(sigma) <= len(_GRID)
            or min(*sigma, slow, trust, floor, ridge) <= 0
            or min(refinements) < 0
        ):
            raise ArgumentError(
                "one positive sigma and one number of refinements for each of 1 to 4 levels, and "
                "slow, trust, floor and ridge above zero",
                f"{list(sigma)}, {list(refinements)}, {slow}, {trust}, {floor}, {ridge}",
            )
        self.refinements = tuple(refinements)
        self.trust = trust
        self.floor = floor
        self.ridge = ridge
        slopes = torch.stack([torch.outer(_SOBEL, _SLOPE), torch.outer(_SLOPE, _SOBEL)])
        self.register_buffer("gradients", slopes[:, None])
        self.register_buffer("blur", _gaussian(slow / _GRID[0]))
        self.register_buffer("around", torch.full((_AROUND,), 1.0 / _AROUND))
        for level, pixels in enumerate(sigma):
            self.register_buffer(f"window_{level}", _gaussian(pixels / _GRID[level]))

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """Flow of a frame pair.

        Args:
            previous: Earlier frame, grey levels 0..255, [B, 1, H, W] f32; H and W are multiples
                of 16.
            current: Later frame, same shape.

        Returns:
            flow [B, 2, H, W] px, channel 0 = x, 1 = y: current(p + flow(p)) shows what previous(p)
            shows.
        """
        frames = torch.cat([previous, current], dim=1)
        pyramid = [self._flatten(frames)]
        inside = [_seen(frames)]
        for level in range(1, len(self.refinements)):
            pyramid.append(_pool(pyramid[-1], 2))
            same = _GRID[level] != _GRID[level - 1]  # smaller cells: the grid stays as fine
            inside.append(inside[-1] if same else -F.max_pool2d(-inside[-1], 2))

        flow: Tensor | None = None
        for level in reversed(range(len(pyramid))):
            a, b = pyramid[level].split(1, dim=1)
            if flow is not None:
                # A pixel of this level is half as wide as one of the previous level.
                flow = 2.0 * _enlarge(flow, 2 * _GRID[level + 1] // _GRID[level])
                b = torch.ops.cineflow.warp(b, _enlarge(flow, _GRID[level]), "clamp")
            step = self._measure(a, b, inside[level], level)
            flow = step if flow is None else flow + step
        assert flow is not None  # there is at least one level
        return _enlarge(flow, _GRID[0])

    def _measure(self, a: Tensor, b: Tensor, inside: Tensor, level: int) -> Tensor:
        """Motion from `a` to `b`, both [B, 1, H, W], on the level's grid, [B, 2, h, w] px."""
        equations, left = self._gather(a, b, _GRID[level])
        flow = self._solve(equations * self._weight(left, inside), level, 0)
        if self.refinements[level]:
            on_x, on_y, target = equations.split(2, dim=1)
            x, y = flow.split(1, dim=1)
            left = left - (flow * (2.0 * target - on_x * x - on_y * y)).sum(dim=1, keepdim=True)
            weight = self._weight(left, inside)
            flow = self._solve(equations * weight, level, self.refinements[level])
        return flow

    def _gather(self, a: Tensor, b: Tensor, pool: int) -> tuple[Tensor, Tensor]:
        """Normal equations of each grid cell, before any window.

        Returns:
            equations [B, 6, h, w], planes (xx, xy), (xy, yy), (xt, yt), (grey level)^2 over px. The
            first pair times x plus the second pair times y should equal the third pair.
            left [B, 1, h, w]: grey-level variance that is not explained yet.
        """
        mean = F.pad(0.5 * (a + b), (1, 1, 1, 1), mode="replicate")
        slopes = F.conv2d(mean.expand(-1, 2, -1, -1), self.gradients, groups=2)
        gx, gy = slopes.split(1, dim=1)
        change = a - b
        planes = torch.cat([slopes, change], dim=1)
        xx, yy, left = _pool(planes * planes, pool).split(1, dim=1)
        xy, yt, xt = _pool(planes * torch.cat([gy, change, gx], dim=1), pool).split(1, dim=1)
        return torch.cat([xx, xy, xy, yy, xt, yt], dim=1), left

    def _weight(self, left: Tensor, inside: Tensor) -> Tensor:
        """Weight of an observation, 0..1, [B, 1, h, w], from its unexplained variance `left`."""
        around = torch.clamp(_smooth(left, self.around), min=0.0)
        return inside * (self.trust / (around + self.trust))

    def _solve(self, equations: Tensor, level: int, refinements: int) -> Tensor:
        """Windowed least squares of weighted `equations`, [B, 2, h, w] px."""
        on_x, on_y, target = equations.split(2, dim=1)
        sxx, sxy, _, syy, sxt, syt = self._window(equations, level).split(1, dim=1)
        sxx, syy = sxx + self.ridge, syy + self.ridge
        # sxx * syy >= sxy^2 (Cauchy-Schwarz), so the ridge keeps the determinant positive.
        scale = 1.0 / (sxx * syy - sxy * sxy)
        from_x = scale * torch.cat([syy, -sxy], dim=1)
        from_y = scale * torch.cat([-sxy, sxx], dim=1)
        flow = from_x * sxt + from_y * syt
        for _ in range(refinements):
            x, y = flow.split(1, dim=1)
            rx, ry = self._window(target - on_x * x - on_y * y, level).split(1, dim=1)
            flow = flow + from_x * rx + from_y * ry
        return flow

    def _flatten(self, frames: Tensor) -> Tensor:
        """Frames minus their low-frequency part, since its changes of brightness are not motion."""
        slow = _smooth(_pool(frames, _GRID[0]), self.blur)
        return torch.clamp(frames - _enlarge(slow, _GRID[0]), min=-self.floor)

    def _window(self, x: Tensor, level: int) -> Tensor:
        """Gaussian-weighted sums of each channel. Outside counts 0, so borders weigh less."""
        kernel = self.get_buffer(f"window_{level}")
        return _separable(x, kernel, kernel.shape[0] // 2)


def _separable(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Each channel of `x` [B, C, h, w] convolved with `kernel` [K] along both axes."""
    channels = x.shape[1]
    down = kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1)
    along = kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1)
    x = F.conv2d(x, down, padding=(padding, 0), groups=channels)
    return F.conv2d(x, along, padding=(0, padding), groups=channels)


def _smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Means of each channel under `kernel` [K]; the border's value is repeated outside."""
    half = kernel.shape[0] // 2
    return _separable(F.pad(x, (half, half, half, half), mode="replicate"), kernel, 0)


def _gaussian(sigma: float) -> Tensor:
    """Unit-sum Gaussian, cut at 2.5 sigma, [2 * ceil(2.5 * sigma) + 1]."""
    half = max(1, math.ceil(2.5 * sigma))
    weight = torch.exp(-(torch.arange(-half, half + 1) ** 2) / (2.0 * sigma * sigma))
    return weight / weight.sum()


def _pool(x: Tensor, size: int) -> Tensor:
    """Mean over cells of size x size. As a convolution, which is faster than AveragePool."""
    channels = x.shape[1]
    share = 1.0 / (size * size)
    mean = torch.full((channels, 1, size, size), share, dtype=x.dtype, device=x.device)
    return F.conv2d(x, mean, stride=size, groups=channels)


def _seen(frames: Tensor) -> Tensor:
    """0 in and next to cells that are black in both frames, 1 elsewhere, [B, 1, H/4, W/4]."""
    bright = F.max_pool2d(frames, _GRID[0]).amax(dim=1, keepdim=True)
    black = 1.0 - torch.clamp(bright, 0.0, 1.0)
    return 1.0 - F.max_pool2d(black, 3, stride=1, padding=1)


def _enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement; pixel centres stay where they are."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
