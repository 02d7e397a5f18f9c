"""Dense pyramidal Lucas-Kanade as a static graph: motion without training.

At each level of an image pyramid, the flow is the weighted least-squares translation of the
tissue around every pixel (Lucas and Kanade 1981, pyramid after Bouguet 2001), measured against the
current frame warped by the flow so far. The graph holds only convolutions, pooling, bilinear
resizing, arithmetic and `cineflow::Warp`: operators that every runtime has and runs fast.

What is particular here:

- Gradients are the mean of both frames' (after the warp). One frame's gradients alone are
  attenuated by their own noise, which shortens every motion.
- The slow part of the grey level is taken out first, and the dark gaps of the speckle are cut off:
  the logarithm makes them deep, and they are the first thing that decorrelates.
- The normal equations are gathered on a coarser grid, weighted by the inverse of what the residual
  still leaves unexplained there: blood and shadows hardly count.
- Refinement without a new warp: what the smooth motion found so far explains is taken from the
  gathered equations and the rest solved again. It undoes the window's blur of the motion, so the
  window can be wide against noise without flattening the strain.
- The black surround of a scan sector is left out: its border stands still while the tissue moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow.warp
from cineflow.errors import ArgumentError

#: Height and width of the frames are multiples of this.
MULTIPLE = 16

_SOBEL = torch.tensor([0.25, 0.5, 0.25])
_SLOPE = torch.tensor([-0.5, 0.0, 0.5])


class LucasKanade(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        sigma: Standard deviation of the Gaussian window in pixels of each level, finest first; as
            many levels as entries.
        warps: Measurements per level, each against a newly warped frame, finest first.
        refinements: Further solutions of the last measurement of the finest level.
        trust: Unexplained grey-level variance at which an observation counts half.
        floor: Grey levels below the local mean where the gaps of the speckle are cut off.
        ridge: Added to both diagonal terms of the normal equations, (grey level / px)^2: motion is
            drawn to zero where the texture is weaker than this.
    """

    slope_x: Tensor
    slope_y: Tensor

    def __init__(
        self,
        sigma: Sequence[float] = (12.0, 12.0, 10.0, 8.0),
        warps: Sequence[int] = (3, 2, 1, 1),
        refinements: int = 4,
        trust: float = 10.0,
        floor: float = 30.0,
        ridge: float = 1.0,
    ) -> None:
        super().__init__()
        if len(sigma) != len(warps) or not 1 <= len(sigma) <= 4 or min(*sigma, *warps) <= 0:
            raise ArgumentError(
                "one positive sigma and one number of warps for each of 1 to 4 levels",
                f"{list(sigma)}, {list(warps)}",
            )
        self.warps = tuple(warps)
        self.refinements = refinements
        self.trust = trust
        self.floor = floor
        self.ridge = ridge
        # The coarsest of four levels has only MULTIPLE / 8 pixels per unit left to pool.
        self.pools = tuple(min(4, MULTIPLE >> level) for level in range(len(sigma)))
        self.register_buffer("slope_x", torch.outer(_SOBEL, _SLOPE)[None, None])
        self.register_buffer("slope_y", torch.outer(_SLOPE, _SOBEL)[None, None])
        for level, (pixels, pool) in enumerate(zip(sigma, self.pools, strict=True)):
            self.register_buffer(f"window_{level}", _gaussian(pixels / pool))

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
        seen = _seen(previous, current)
        pyramid = [(self._flatten(previous), self._flatten(current), seen)]
        for level in range(1, len(self.pools)):
            a, b, inside = pyramid[-1]
            # The quarter grid shrinks with the level, until the coarsest pools by less.
            if self.pools[level] == self.pools[level - 1]:
                inside = -F.max_pool2d(-inside, 2)
            pyramid.append((F.avg_pool2d(a, 2), F.avg_pool2d(b, 2), inside))

        flow: Tensor | None = None
        for level in reversed(range(len(pyramid))):
            a, b, inside = pyramid[level]
            if flow is not None:
                flow = 2.0 * _enlarge(flow, 2)
            for remaining in reversed(range(self.warps[level])):
                moved = b if flow is None else torch.ops.cineflow.warp(b, flow, "clamp")
                refinements = self.refinements if level == remaining == 0 else 0
                step = self._measure(a, moved, inside, level, refinements)
                flow = step if flow is None else flow + step
        assert flow is not None  # there is at least one level
        return flow

    def _measure(
        self, a: Tensor, b: Tensor, inside: Tensor, level: int, refinements: int
    ) -> Tensor:
        """Least-squares motion from `a` to `b`, both [B, 1, h, w], as [B, 2, h, w] px."""
        mean = F.pad(0.5 * (a + b), (1, 1, 1, 1), mode="replicate")
        gx = F.conv2d(mean, self.slope_x)
        gy = F.conv2d(mean, self.slope_y)
        change = a - b
        products = torch.cat(
            [gx * gx, gx * gy, gy * gy, gx * change, gy * change, change * change], dim=1
        )
        pool = self.pools[level]
        products = F.avg_pool2d(products, pool)
        unexplained = _box(products[:, 5:6])
        products = products[:, :5] * (inside * (self.trust / (unexplained + self.trust)))
        xx, xy, yy, xt, yt = products.split(1, dim=1)

        sxx, sxy, syy, sxt, syt = self._window(products, level).split(1, dim=1)
        sxx, syy = sxx + self.ridge, syy + self.ridge
        # sxx * syy >= sxy^2 (Cauchy-Schwarz), so the ridge keeps the determinant positive.
        scale = 1.0 / (sxx * syy - sxy * sxy)
        ixx, ixy, iyy = syy * scale, -sxy * scale, sxx * scale
        x, y = ixx * sxt + ixy * syt, ixy * sxt + iyy * syt
        for _ in range(refinements):
            left = torch.cat([xt - xx * x - xy * y, yt - xy * x - yy * y], dim=1)
            rx, ry = self._window(left, level).split(1, dim=1)
            x, y = x + (ixx * rx + ixy * ry), y + (ixy * rx + iyy * ry)
        return _enlarge(torch.cat([x, y], dim=1), pool)

    def _flatten(self, frame: Tensor) -> Tensor:
        """The frame less its mean over about 16 px: brightness that drifts is not motion."""
        slow = _box(F.avg_pool2d(frame, 8))
        return torch.clamp(frame - _enlarge(slow, 8), min=-self.floor)

    def _window(self, x: Tensor, level: int) -> Tensor:
        """Gaussian-weighted sums of each channel; outside counts 0, so borders weigh less."""
        kernel = self.get_buffer(f"window_{level}")
        half = kernel.shape[0] // 2
        channels = x.shape[1]
        x = F.conv2d(
            x,
            kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1),
            padding=(half, 0),
            groups=channels,
        )
        return F.conv2d(
            x,
            kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1),
            padding=(0, half),
            groups=channels,
        )


def _gaussian(sigma: float) -> Tensor:
    """Unit-sum Gaussian, cut at 2.5 sigma, [2 * ceil(2.5 * sigma) + 1]."""
    half = max(1, math.ceil(2.5 * sigma))
    weight = torch.exp(-(torch.arange(-half, half + 1) ** 2) / (2.0 * sigma * sigma))
    return weight / weight.sum()


def _box(x: Tensor) -> Tensor:
    """Mean over 3 x 3."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _seen(previous: Tensor, current: Tensor) -> Tensor:
    """1 where tissue shows, 0 in and beside cells that are black in both, [B, 1, H/4, W/4]."""
    bright = F.max_pool2d(torch.maximum(previous, current), 4)
    black = 1.0 - torch.clamp(bright, 0.0, 1.0)
    return 1.0 - F.max_pool2d(black, 3, stride=1, padding=1)


def _enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement; pixel centres stay where they are."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
