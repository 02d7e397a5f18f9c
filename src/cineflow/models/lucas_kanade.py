"""Dense pyramidal Lucas-Kanade as a static graph: motion without training.

At each level of an image pyramid, the flow is the weighted least-squares translation of the
tissue around every pixel (Lucas and Kanade 1981, pyramid after Bouguet 2001), measured against the
current frame warped by the flow so far. The graph holds only convolutions, pooling, bilinear
resizing, arithmetic and `cineflow::Warp`: operators that every runtime has and runs fast.

What is particular here:

- Gradients are the mean of both frames' (after the warp). One frame's gradients alone are
  attenuated by their own noise, which shortens every motion.
- The normal equations are gathered on a coarser grid: the window is so wide that nothing is lost.
- The slow part of the grey level is taken out first, and the black surround of a scan sector is
  left out of the equations: its border stands still while the tissue moves.
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

_SCHARR = torch.tensor([3.0, 10.0, 3.0]) / 16.0
_SLOPE = torch.tensor([-0.5, 0.0, 0.5])


class LucasKanade(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        sigma: Standard deviation of the Gaussian window in pixels of each level, finest first; as
            many levels as entries.
        iterations: Measurements per level, finest first.
        ridge: Added to both diagonal terms of the normal equations, (grey level / px)^2: motion is
            drawn to zero where the texture is weaker than this.
    """

    slope_x: Tensor
    slope_y: Tensor

    def __init__(
        self,
        sigma: Sequence[float] = (10.0, 10.0, 10.0, 10.0),
        iterations: Sequence[int] = (1, 1, 1, 1),
        ridge: float = 1.0,
    ) -> None:
        super().__init__()
        if len(sigma) != len(iterations) or not 1 <= len(sigma) <= 4 or min(sigma) <= 0:
            raise ArgumentError(
                "one positive sigma and one iteration count for each of 1 to 4 levels",
                f"{list(sigma)}, {list(iterations)}",
            )
        self.iterations = tuple(iterations)
        self.ridge = ridge
        # The coarsest of four levels has only MULTIPLE / 8 pixels per unit left to pool.
        self.pools = tuple(min(4, MULTIPLE >> level) for level in range(len(sigma)))
        self.register_buffer("slope_x", torch.outer(_SCHARR, _SLOPE)[None, None])
        self.register_buffer("slope_y", torch.outer(_SLOPE, _SCHARR)[None, None])
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
        pyramid = [(_flatten(previous), _flatten(current), seen)]
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
            for _ in range(self.iterations[level]):
                moved = b if flow is None else torch.ops.cineflow.warp(b, flow, "clamp")
                step = self._measure(a, moved, inside, level)
                flow = step if flow is None else flow + step
        assert flow is not None  # there is at least one level
        return flow

    def _measure(self, a: Tensor, b: Tensor, inside: Tensor, level: int) -> Tensor:
        """Least-squares motion from `a` to `b`, both [B, 1, h, w], as [B, 2, h, w] px."""
        mean = F.pad(0.5 * (a + b), (1, 1, 1, 1), mode="replicate")
        gx = F.conv2d(mean, self.slope_x)
        gy = F.conv2d(mean, self.slope_y)
        change = a - b
        products = torch.cat([gx * gx, gx * gy, gy * gy, gx * change, gy * change], dim=1)
        pool = self.pools[level]
        products = F.avg_pool2d(products, pool) * inside
        xx, xy, yy, xt, yt = self._window(products, level).split(1, dim=1)
        xx, yy = xx + self.ridge, yy + self.ridge
        # xx * yy >= xy^2 (Cauchy-Schwarz), so the ridge keeps the determinant positive.
        scale = 1.0 / (xx * yy - xy * xy)
        step = torch.cat([(yy * xt - xy * yt) * scale, (xx * yt - xy * xt) * scale], dim=1)
        return _enlarge(step, pool)

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


def _flatten(frame: Tensor) -> Tensor:
    """The frame less its mean over about 16 px: brightness that drifts is not motion."""
    slow = F.avg_pool2d(frame, 8)
    slow = F.avg_pool2d(F.pad(slow, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return frame - _enlarge(slow, 8)


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
