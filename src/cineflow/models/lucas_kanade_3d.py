"""Dense pyramidal Lucas-Kanade of volumes as a static graph: motion without training.

`cineflow.models.pyramid_tracker` describes the method, which the 2-D form shares. A pass is what
`cineflow.ops.lucas_kanade_step` computes of images, in torch's own operators. Three things differ.

- The targets are (g_b a - g_a b) / 2 in place of (g_a + g_b) (a - b) / 2, where g_a and g_b are the
  gradients of the volumes a and b. What is left out, (g_a a - g_b b) / 2, is a quarter of the
  gradient of a^2 - b^2: it holds no motion, but how the contrast of speckle and noise differs.
  These targets are the gradient of the correlation of the two volumes, and not of their difference.
- A pass finds too little of a motion that is longer than the speckle, and a window as wide as the
  wall is thick has too few observations for it. So there are passes with wide windows first, which
  over-relax: they add nearly twice what they find.
- The last passes have narrower windows and larger ridges: they change the motion only where the
  volumes say so clearly, as at the borders of the wall, whose two sides a wide window moves alike.

The gradient is made of differences of shifted volumes, because ONNX Runtime and torch are slow at
small convolutions along three axes at once, and the 3 x 3 solve is in closed form. The normal
equations are gathered on a grid of every second voxel, because the wall of a heart is only about
six voxels thick. Planes are kept together as channels of one tensor.

Source: Lucas and Kanade 1981; pyramid after Bouguet 2001; the 3 x 3 structure tensor of a volume
after Bigun and Granlund 1987.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor

from cineflow.errors import ArgumentError
from cineflow.models.pyramid_tracker import PyramidTracker, gaussian, pool, separable, smooth

#: Grid cells over which the unexplained variance is averaged. The variance of a single cell would
#: favour those observations that, by chance, show no motion.
_AROUND = 5


class LucasKanade3d(PyramidTracker):
    """Flow from one volume to the next, in voxels, on the previous volume's grid.

    Memory: about 75 values per voxel next to the two volumes, in torch and f32.

    Args:
        sigma, refinements, slow, trust, floor, ridge, levels: As `PyramidTracker` has them, in
            voxels, for 1 to 3 levels.
        relaxation: Of each pass, last first: factor of the correction that the pass finds.

    Raises:
        ArgumentError: `refinements`, `sigma`, `ridge`, `levels` and `relaxation` differ in length,
            not 1 to 3 levels or not in order, or a scale or factor that is not positive.
    """

    axes = 3
    #: Volumes are a multiple of 8 voxels, so the coarsest of three levels is a multiple of 2.
    cells = (2, 2, 2)

    around: Tensor

    def __init__(
        self,
        sigma: Sequence[float] = (4.0, 6.0, 12.0, 16.0, 16.0, 16.0, 16.0, 16.0, 12.0),
        refinements: Sequence[int] = (10, 4, 4, 1, 2, 2, 2, 2, 4),
        slow: float = 2.5,
        trust: float = 8.0,
        floor: float = 15.0,
        ridge: Sequence[float] = (40.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        levels: Sequence[int] = (0, 0, 0, 0, 1, 1, 1, 1, 2),
        relaxation: Sequence[float] = (1.0, 1.0, 1.0, 1.9, 1.9, 1.9, 1.9, 1.9, 1.0),
    ) -> None:
        super().__init__(sigma, refinements, slow, trust, floor, ridge, levels)
        if len(relaxation) != len(sigma) or min(relaxation) <= 0:
            raise ArgumentError(
                "a relaxation above zero for each pass", f"{list(relaxation)} for {len(sigma)}"
            )
        self.relaxation = tuple(relaxation)
        self.register_buffer("around", torch.full((_AROUND,), 1.0 / _AROUND))
        for at, voxels in enumerate(sigma):
            self.register_buffer(f"window_{at}", gaussian(voxels / self.cells[levels[at]]))

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

    def step(self, a: Tensor, b: Tensor, inside: Tensor, at: int) -> Tensor:
        """See `PyramidTracker.step`."""
        equations, left = self._gather(a, b, self.cells[self.levels[at]])
        flow = self._solve(equations * self._weight(left, inside), at, 0)
        if self.refinements[at]:
            *parts, target = equations.split(self.axes, dim=1)
            components = flow.split(1, dim=1)
            unexplained = 2.0 * target
            for part, along in zip(parts, components, strict=True):
                unexplained = unexplained - part * along
            left = left - (flow * unexplained).sum(dim=1, keepdim=True)
            weight = self._weight(left, inside)
            flow = self._solve(equations * weight, at, self.refinements[at])
        return self.relaxation[at] * flow

    def _gather(self, a: Tensor, b: Tensor, cell: int) -> tuple[Tensor, Tensor]:
        """`_products` of two volumes [B, 1, D, H, W]."""
        slopes = [self._slopes(F.pad(one, (1, 1) * self.axes, mode="replicate")) for one in (a, b)]
        return self._products(slopes[0], slopes[1], a, b, cell)

    def _weight(self, left: Tensor, inside: Tensor) -> Tensor:
        """Weight of an observation, 0..1, [B, 1, cells], from its unexplained variance `left`."""
        around = torch.clamp(smooth(left, self.around), min=0.0)
        return inside * (self.trust / (around + self.trust))

    def _solve(self, equations: Tensor, at: int, refinements: int) -> Tensor:
        """Windowed least squares of weighted `equations`, [B, 3, cells] voxels."""
        n = self.axes
        *parts, target = equations.split(n, dim=1)
        sums = self._window(equations, at).split(1, dim=1)
        columns = self._inverse(sums[: n * n], self.ridge[at])
        flow = columns[0] * sums[n * n]
        for column, along in zip(columns[1:], sums[n * n + 1 :], strict=True):
            flow = flow + column * along
        for _ in range(refinements):
            rest = target
            for part, along in zip(parts, flow.split(1, dim=1), strict=True):
                rest = rest - part * along
            remaining = self._window(rest, at).split(1, dim=1)
            for column, along in zip(columns, remaining, strict=True):
                flow = flow + column * along
        return flow

    def _window(self, x: Tensor, at: int) -> Tensor:
        """Gaussian-weighted sums of each channel. Outside counts 0, so borders weigh less."""
        kernel = self.get_buffer(f"window_{at}")
        return separable(x, kernel, kernel.shape[0] // 2)

    def _slopes(self, volume: Tensor) -> Tensor:
        """Gradient [B, 3, D, H, W] of `volume` [B, 1, D + 2, H + 2, W + 2]."""
        z_smooth, y_smooth = _smoothed(volume, 2), _smoothed(volume, 3)
        along_x = _difference(_smoothed(z_smooth, 3), 4)
        along_y = _difference(_smoothed(z_smooth, 4), 3)
        along_z = _difference(_smoothed(y_smooth, 4), 2)
        return torch.cat([along_x, along_y, along_z], dim=1)

    def _products(
        self, earlier: Tensor, later: Tensor, a: Tensor, b: Tensor, cell: int
    ) -> tuple[Tensor, Tensor]:
        """Normal equations of each grid cell, before any window.

        Args:
            earlier, later: Gradients of `a` and `b`, [B, 3, D, H, W], x first, grey levels per
                voxel.
            a, b: The earlier and the later volume, [B, 1, D, H, W], grey levels.
            cell: Voxels per grid cell along each axis.

        Returns:
            equations [B, 12, cells], (grey level)^2 over voxels: the planes (xx, xy, xz),
            (xy, yy, yz), (xz, yz, zz) of each unknown, then the targets (xt, yt, zt). The sum of
            each unknown times its planes should equal the targets.
            left [B, 1, cells]: grey-level variance that is not explained yet.
        """
        slopes, change = 0.5 * (earlier + later), a - b
        planes = torch.cat([slopes, change], dim=1)
        xx, yy, zz, left = pool(planes * planes, cell).split(1, dim=1)
        gx, gy, gz = slopes.split(1, dim=1)
        xy, yz, xz = pool(slopes * torch.cat([gy, gz, gx], dim=1), cell).split(1, dim=1)
        targets = pool(0.5 * (later * a - earlier * b), cell)
        return torch.cat([xx, xy, xz, xy, yy, yz, xz, yz, zz, targets], dim=1), left

    def _inverse(self, sums: tuple[Tensor, ...], ridge: float) -> list[Tensor]:
        """Columns of the inverse 3 x 3 matrix by its cofactors, three of [B, 3, d, h, w].

        `sums` are the windowed planes in the order of `_products`, each [B, 1, cells].
        """
        xx, xy, xz, _, yy, yz, _, _, zz = sums
        xx, yy, zz = xx + ridge, yy + ridge, zz + ridge
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
