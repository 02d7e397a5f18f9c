"""Dense pyramidal Lucas-Kanade of volumes as a static graph: motion without training.

`cineflow.models.pyramid_tracker` describes the method, which the 2-D form shares. This file has
what is particular to volumes: the gradient as differences of shifted volumes, because ONNX Runtime
and torch are slow at small convolutions along three axes at once, and the 3 x 3 solve in closed
form. The normal equations are gathered on a grid of every second voxel, because the wall of a heart
is only about six voxels thick.

Source: Lucas and Kanade 1981; pyramid after Bouguet 2001; the 3 x 3 structure tensor of a volume
after Bigun and Granlund 1987.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cineflow.models.pyramid_tracker import PyramidTracker, pool


class LucasKanade3d(PyramidTracker):
    """Flow from one volume to the next, in voxels, on the previous volume's grid.

    Memory: at most 60 values per voxel next to the two volumes. In torch and f32 that was 47 MB for
    64 x 64 x 64 voxels, and 190 MB for 96 x 96 x 96.

    Args:
        sigma, refinements, slow, trust, floor, ridge: As `PyramidTracker` has them, in voxels, for
            1 to 3 levels.

    Raises:
        ArgumentError: `refinements` and `sigma` differ in length, not 1 to 3 levels, or a scale
            that is not positive.
    """

    axes = 3
    #: Volumes are a multiple of 8 voxels, so the coarsest of three levels is a multiple of 2.
    cells = (2, 2, 2)

    def __init__(
        self,
        sigma: Sequence[float] = (10.0, 10.0, 10.0),
        refinements: Sequence[int] = (4, 4, 4),
        slow: float = 3.0,
        trust: float = 8.0,
        floor: float = 25.0,
        ridge: float = 1.0,
    ) -> None:
        super().__init__(sigma, refinements, slow, trust, floor, ridge)

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """Flow of a pair of volumes.

        Args:
            previous: Earlier volume, grey levels 0..255, [B, 1, D, H, W] f32; D, H and W are
                multiples of 8.
            current: Later volume, same shape.

        Returns:
            flow [B, 3, D, H, W] voxels, channel 0 = x (along W), 1 = y (along H), 2 = z (along D):
            current(p + flow(p)) shows what previous(p) shows.
        """
        return self.track(previous, current)

    def slopes(self, mean: Tensor) -> Tensor:
        """Gradient [B, 3, D, H, W] of `mean` [B, 1, D + 2, H + 2, W + 2]."""
        z_smooth, y_smooth = _smoothed(mean, 2), _smoothed(mean, 3)
        along_x = _difference(_smoothed(z_smooth, 3), 4)
        along_y = _difference(_smoothed(z_smooth, 4), 3)
        along_z = _difference(_smoothed(y_smooth, 4), 2)
        return torch.cat([along_x, along_y, along_z], dim=1)

    def products(self, slopes: Tensor, a: Tensor, b: Tensor, cell: int) -> tuple[Tensor, Tensor]:
        """Planes (xx, xy, xz), (xy, yy, yz), (xz, yz, zz) and the targets (xt, yt, zt); see
        `PyramidTracker.products`."""
        gx, gy, gz = slopes.split(1, dim=1)
        change = a - b
        planes = torch.cat([slopes, change], dim=1)
        xx, yy, zz, left = pool(planes * planes, cell).split(1, dim=1)
        ring = torch.cat([gy, gz, change, gx], dim=1)
        xy, yz, zt, xt = pool(planes * ring, cell).split(1, dim=1)
        xz, yt = pool(torch.cat([gx * gz, gy * change], dim=1), cell).split(1, dim=1)
        return torch.cat([xx, xy, xz, xy, yy, yz, xz, yz, zz, xt, yt, zt], dim=1), left

    def inverse(self, sums: tuple[Tensor, ...]) -> list[Tensor]:
        """Columns of the inverse 3 x 3 matrix by its cofactors, three of [B, 3, d, h, w]."""
        xx, xy, xz, _, yy, yz, _, _, zz = sums
        xx, yy, zz = xx + self.ridge, yy + self.ridge, zz + self.ridge
        cxx, cyy, czz = yy * zz - yz * yz, xx * zz - xz * xz, xx * yy - xy * xy
        cxy, cxz, cyz = xz * yz - xy * zz, xy * yz - xz * yy, xy * xz - xx * yz
        # The sums are a Gram matrix, whose eigenvalues are 0 or more. With the ridge r the
        # determinant is at least r^3.
        scale = 1.0 / (xx * cxx + xy * cxy + xz * cxz)
        rows = ([cxx, cxy, cxz], [cxy, cyy, cyz], [cxz, cyz, czz])
        return [scale * torch.cat(row, dim=1) for row in rows]


def _smoothed(x: Tensor, axis: int) -> Tensor:
    """Weights 1/4, 1/2, 1/4 along one axis, which loses a voxel at each end."""
    inner = x.shape[axis] - 2
    ends = x.narrow(axis, 0, inner) + x.narrow(axis, 2, inner)
    return 0.5 * x.narrow(axis, 1, inner) + 0.25 * ends


def _difference(x: Tensor, axis: int) -> Tensor:
    """Half the difference of the neighbours along one axis, which loses a voxel at each end."""
    inner = x.shape[axis] - 2
    return 0.5 * (x.narrow(axis, 2, inner) - x.narrow(axis, 0, inner))
