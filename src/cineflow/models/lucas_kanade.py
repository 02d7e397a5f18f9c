"""Dense pyramidal Lucas-Kanade as a static graph: motion without training.

`cineflow.models.pyramid_tracker` describes the method, which the 3-D form shares. This file has
what is particular to images: Sobel gradients as one convolution, and the 2 x 2 solve. The normal
equations are gathered on a grid of every fourth pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor

from cineflow.models.pyramid_tracker import PyramidTracker, pool

_SOBEL = torch.tensor([0.25, 0.5, 0.25])
_SLOPE = torch.tensor([-0.5, 0.0, 0.5])


class LucasKanade(PyramidTracker):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        sigma, refinements, slow, trust, floor, ridge: As `PyramidTracker` has them, for 1 to 4
            levels.

    Raises:
        ArgumentError: `refinements` and `sigma` differ in length, not 1 to 4 levels, or a scale
            that is not positive.
    """

    axes = 2
    #: Frames are a multiple of 16 px, so the coarsest of four levels is a multiple of 2 px.
    cells = (4, 4, 4, 2)

    gradients: Tensor

    def __init__(
        self,
        sigma: Sequence[float] = (14.0, 11.0, 10.0, 10.0),
        refinements: Sequence[int] = (8, 0, 2, 3),
        slow: float = 6.5,
        trust: float = 8.0,
        floor: float = 25.0,
        ridge: float = 1.0,
    ) -> None:
        super().__init__(sigma, refinements, slow, trust, floor, ridge)
        slopes = torch.stack([torch.outer(_SOBEL, _SLOPE), torch.outer(_SLOPE, _SOBEL)])
        self.register_buffer("gradients", slopes[:, None])

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
        return self.track(previous, current)

    def slopes(self, mean: Tensor) -> Tensor:
        """Gradient [B, 2, H, W] of `mean` [B, 1, H + 2, W + 2]."""
        return F.conv2d(mean.expand(-1, 2, -1, -1), self.gradients, groups=2)

    def products(self, slopes: Tensor, a: Tensor, b: Tensor, cell: int) -> tuple[Tensor, Tensor]:
        """Planes (xx, xy), (xy, yy) and the targets (xt, yt); see `PyramidTracker.products`."""
        gx, gy = slopes.split(1, dim=1)
        change = a - b
        planes = torch.cat([slopes, change], dim=1)
        xx, yy, left = pool(planes * planes, cell).split(1, dim=1)
        xy, yt, xt = pool(planes * torch.cat([gy, change, gx], dim=1), cell).split(1, dim=1)
        return torch.cat([xx, xy, xy, yy, xt, yt], dim=1), left

    def inverse(self, sums: tuple[Tensor, ...]) -> list[Tensor]:
        """Columns of the inverse 2 x 2 matrix, two of [B, 2, h, w]."""
        xx, xy, _, yy = sums
        xx, yy = xx + self.ridge, yy + self.ridge
        # xx * yy >= xy^2 (Cauchy-Schwarz), so the ridge keeps the determinant positive.
        scale = 1.0 / (xx * yy - xy * xy)
        return [scale * torch.cat([yy, -xy], dim=1), scale * torch.cat([-xy, xx], dim=1)]
