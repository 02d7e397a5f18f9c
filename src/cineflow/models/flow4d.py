"""Displacement of volumes over time: an unrolled TV-L1 update whose prior is a small 3-D network.

The source is Teng et al. 2024 (arXiv 2407.04663). Of it only the abstract and public summaries are
known here. They say: the input is a reference volume and a sequence; the network follows TV-L1 in
three dimensions, with a compact network of nine layers and a 3-D warp; it is trained without truth,
by a spatial reconstruction term and a temporal-consistency term.

TV-L1 alternates two steps from coarse to fine (Zach et al. 2007). Here each update is

1. warp the current volume back by the field u, take the residual r to the reference, and move u
   against it: v = u - g clip(r / |g|^2, -s, s), where g is the gradient of the warped volume;
2. u = P(reference, warped volume, r, v, fields of neighbouring volumes).

The first step is TV-L1's threshold step in closed form. In the second, the network P takes the
place of the total-variation step, and the neighbours' fields are what makes it spatio-temporal.

Chosen, because the source is silent:

* P: nine 3 x 3 x 3 convolutions, 32 wide, LeakyReLU 0.2, from VoxelMorph's U-Net
  (voxelmorph/voxelmorph, `voxelmorph/torch/networks.py`); it keeps the resolution. It returns the
  field itself, as TV-L1's second step does. All levels share it, as ARFlow's levels share theirs.
* Levels at 1/8, 1/4 and 1/2 of the resolution, as TV-L1's pyramid halves each time; the field is
  enlarged from the half resolution, as VoxelMorph's is. Updates: 2, 2 and 1.
* s = lambda theta = 0.15 x 0.3 for grey levels of 0..255, the defaults of Sanchez Perez et al. 2013
  (IPOL) and OpenCV. It is a parameter of each level, as in TVNet (Fan et al. 2018).
* Grey levels of 0..255 go in, and are divided by 255 in the graph. A window has `WINDOW` volumes;
  more would take more memory.
* Neighbours: causal (`Flow4d`), the fields of the two volumes before, which are its state; in a
  window (`Flow4dWindow`), the fields of the volume before and the one after.
* Reconstruction term: mean absolute difference of the warped volume and the reference where the
  warp stays inside. Temporal term: mean length of u(t) - 2 u(t-1) + u(t-2), how far a field is
  from the middle of its neighbours. The source's norms, weights and forward-backward cycles are
  not known.

Without a checkpoint the weights are random, drawn from a seed. The field's layer is scaled so that
the displacement spreads over a few voxels. See docs/systems/flow4d.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow
from cineflow.models.blocks import seed_weights


@dataclass(frozen=True)
class Size:
    """Width of the network.

    Attributes:
        width: Channels of the eight hidden layers.
        gain: Of the untrained field layer. On a phantom of 64 x 64 x 64 voxels the standard
            deviation of the displacement is then between 2 and 8 voxels.
    """

    width: int
    gain: float


PAPER = Size(32, gain=7.0)
SMALL = Size(8, gain=13.0)

#: Volumes of a window.
WINDOW = 4

#: Depth, height and width of the volumes are multiples of this.
MULTIPLE = 8

#: Updates at 1/8, 1/4 and 1/2 of the resolution.
UPDATES = (2, 2, 1)

#: Layers of the network, its field layer included.
LAYERS = 9

_SLOPE = 0.2

#: lambda theta of TV-L1 for grey levels of 0..1.
_REACH = 0.15 * 0.3 * 255.0

#: Added to |g|^2: two grey levels per voxel. It is a normal number also in half precision.
_FLAT = (2.0 / 255.0) ** 2

#: The network sees fields in units of this many voxels. In a smaller unit untrained fields would
#: grow from volume to volume, because each is seen by the next.
_FIELD_UNIT = 32.0

#: Channels that the network sees: reference, warped volume, residual, and three fields.
_SEEN = 3 + 3 * 3

#: Fields of the volumes next to each one, at one level, from the fields so far at that level.
Neighbours = Callable[[Tensor, int], tuple[Tensor, Tensor]]


class Flow4d(nn.Module):
    """The causal form: one volume after the other, from the fields of the two before.

    Args:
        size: `PAPER` or `SMALL`.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = SMALL, *, seed: int = 0) -> None:
        super().__init__()
        self.update = Update(size)
        seed_weights(self, seed, {"update.field": size.gain})

    def forward(
        self, reference: Tensor, current: Tensor, before1: Tensor, before2: Tensor
    ) -> tuple[Tensor, ...]:
        """One volume of a stream. Its states are zero at the reference: nothing has moved yet.

        Args:
            reference: Reference volume, grey levels 0..255, [1, 1, D, H, W] f32; D, H and W are
                multiples of 8.
            current: Current volume, same shape.
            before1, before2: Fields of the volumes one and two before, [1, 3, D / 2, H / 2, W / 2]
                in voxels of that grid.

        Returns:
            displacement [1, 3, D, H, W] voxels, x first, on the reference's grid:
            current(p + displacement(p)) shows what reference(p) shows; reconstruction [1] grey
            levels; temporal [1] voxels; then before1 and before2 after this volume.
        """

        def neighbours(field: Tensor, shrink: int) -> tuple[Tensor, Tensor]:
            return _shrunk(before1, shrink), _shrunk(before2, shrink)

        field = self.update.unrolled(reference, current, before1, neighbours)
        displacement = 2.0 * _enlarged(field)
        return (
            displacement,
            reconstruction(reference, current, displacement),
            acceleration(field, before1, before2),
            field,
            before1,
        )


class Flow4dWindow(nn.Module):
    """All volumes of a window at once; each sees the field before and the field after its own.

    Its weights have other names than those of `Flow4d`, because they mean something else: the last
    three channels that the network sees are the field after, not the one before.

    Args:
        size: `PAPER` or `SMALL`.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = SMALL, *, seed: int = 0) -> None:
        super().__init__()
        self.window_update = Update(size)
        seed_weights(self, seed, {"window_update.field": size.gain})

    def forward(
        self, reference: Tensor, volumes: Tensor, before1: Tensor, before2: Tensor
    ) -> tuple[Tensor, ...]:
        """The next window of a stream, which starts where the last one ended.

        Args:
            reference: Reference volume, grey levels 0..255, [1, 1, D, H, W] f32; D, H and W are
                multiples of 8.
            volumes: The window, oldest first, [1, T, D, H, W].
            before1, before2: Fields of the last volume before the window and the one before it, as
                `Flow4d.forward` has them.

        Returns:
            fields [1, T, 3, D, H, W] voxels, as `Flow4d.forward` has the displacement;
            reconstruction [1, T] grey levels; temporal [1, T] voxels; then before1 and before2
            after this window.
        """
        frames = volumes.transpose(0, 1)  # [T, 1, D, H, W]
        references = reference.expand_as(frames)

        def neighbours(field: Tensor, shrink: int) -> tuple[Tensor, Tensor]:
            earlier = torch.cat([_shrunk(before1, shrink), field[:-1]])
            return earlier, torch.cat([field[1:], field[-1:]])

        start = before1.expand(frames.shape[0], -1, -1, -1, -1)
        field = self.window_update.unrolled(references, frames, start, neighbours)
        fields = 2.0 * _enlarged(field)
        series = torch.cat([before2, before1, field])
        return (
            fields[None],
            reconstruction(references, frames, fields)[None],
            acceleration(series[2:], series[1:-1], series[:-2])[None],
            field[-1:],
            series[-2:-1],
        )


class Update(nn.Module):
    """The update of TV-L1 with a network as its prior, unrolled over the levels.

    Args:
        size: Of the network.
    """

    differences: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.reach = nn.Parameter(torch.full((len(UPDATES),), _REACH))
        layers: list[nn.Module] = []
        channels = _SEEN
        for _ in range(LAYERS - 1):
            layers += [nn.Conv3d(channels, size.width, 3, padding=1), nn.LeakyReLU(_SLOPE)]
            channels = size.width
        self.hidden = nn.Sequential(*layers)
        self.field = nn.Conv3d(channels, 3, 3, padding=1)
        self.register_buffer("differences", _differences(), persistent=False)

    def forward(
        self,
        reference: Tensor,
        current: Tensor,
        field: Tensor,
        others: tuple[Tensor, Tensor],
        reach: Tensor,
    ) -> Tensor:
        """One update at one level.

        Args:
            reference: Reference volumes, 0..1, [B, 1, d, h, w] f32.
            current: Current volumes, same shape.
            field: The fields so far, [B, 3, d, h, w] in voxels of this level, x first.
            others: Fields of the volumes next to each one, same shape as `field`.
            reach: Largest step against the residual, in voxels per unit of the gradient, [].

        Returns:
            The next fields, same shape as `field`.
        """
        warped = torch.ops.cineflow.warp(src=current, flow=field, border="clamp")
        residual = warped - reference
        slope = self.gradient(warped)
        share = residual / ((slope * slope).sum(dim=1, keepdim=True) + _FLAT)
        moved = field - slope * torch.clamp(share, -reach, reach)
        fields = torch.cat([moved, *others], dim=1) * (1.0 / _FIELD_UNIT)
        found: Tensor = self.field(
            self.hidden(torch.cat([reference, warped, residual, fields], dim=1))
        )
        return found

    def gradient(self, volume: Tensor) -> Tensor:
        """Central differences [B, 3, d, h, w] of [B, 1, d, h, w], x first; the faces go on."""
        return F.conv3d(F.pad(volume, (1,) * 6, mode="replicate"), self.differences)

    def unrolled(
        self, reference: Tensor, current: Tensor, start: Tensor, neighbours: Neighbours
    ) -> Tensor:
        """All updates, from coarse to fine.

        Args:
            reference: Reference volumes, grey levels 0..255, [B, 1, D, H, W] f32.
            current: Current volumes, same shape.
            start: Fields to begin with, [B, 3, D / 2, H / 2, W / 2] in voxels of that grid.
            neighbours: Gives the two neighbours' fields at a level that is 1 / shrink of the half
                resolution.

        Returns:
            Fields [B, 3, D / 2, H / 2, W / 2] in voxels of that grid.
        """
        references, currents = _pyramid(reference), _pyramid(current)
        coarsest = 2 ** (len(UPDATES) - 1)
        field = _shrunk(start, coarsest)
        for level, count in enumerate(UPDATES):
            shrink = coarsest >> level
            if level > 0:
                field = 2.0 * _enlarged(field)
            for _ in range(count):
                field = self(
                    references[level],
                    currents[level],
                    field,
                    neighbours(field, shrink),
                    self.reach[level],
                )
        return field


def reconstruction(reference: Tensor, current: Tensor, displacement: Tensor) -> Tensor:
    """How well the displacement explains the current volumes.

    Args:
        reference: Reference volumes, grey levels, [B, 1, D, H, W].
        current: Current volumes, same shape.
        displacement: [B, 3, D, H, W] voxels, x first.

    Returns:
        [B] grey levels: mean |current(p + displacement(p)) - reference(p)| over the voxels whose
        sample lies inside the volume; 0 if all lie outside.
    """
    warped = torch.ops.cineflow.warp(src=current, flow=displacement, border="clamp")
    inside = torch.ones_like(current)
    for channel, axis in enumerate((4, 3, 2)):
        extent = current.shape[axis]
        shape = [1, 1, 1, 1, 1]
        shape[axis] = extent
        sample = displacement[:, channel : channel + 1] + torch.arange(extent).view(shape)
        inside = inside * ((sample >= 0.0) & (sample <= extent - 1.0)).to(inside.dtype)
    difference = (warped - reference).abs() * inside
    count = inside.sum(dim=(1, 2, 3, 4))
    return difference.sum(dim=(1, 2, 3, 4)) / count.clamp(min=1.0)


def acceleration(field: Tensor, before1: Tensor, before2: Tensor) -> Tensor:
    """How far the fields are from moving on evenly.

    Args:
        field: [B, 3, D / 2, H / 2, W / 2] in voxels of that grid.
        before1, before2: Those of the volumes one and two before.

    Returns:
        [B] voxels of the whole grid: mean length of field - 2 before1 + before2.
    """
    change = 2.0 * (field - 2.0 * before1 + before2)
    return (change * change).sum(dim=1).sqrt().mean(dim=(1, 2, 3))


def _differences() -> Tensor:
    """Weights [3, 1, 3, 3, 3] of the central differences along x, y and z."""
    weights = torch.zeros(3, 1, 3, 3, 3)
    for channel, axis in enumerate((4, 3, 2)):
        at = [1, 1, 1]
        for place, value in ((0, -0.5), (2, 0.5)):
            at[axis - 2] = place
            weights[channel, 0, at[0], at[1], at[2]] = value
    return weights


def _pyramid(volume: Tensor) -> Sequence[Tensor]:
    """Mean grey levels, 0..1, at each level, coarsest first."""
    levels: list[Tensor] = []
    for _ in UPDATES:
        volume = F.avg_pool3d(volume if levels else volume * (1.0 / 255.0), 2)
        levels.append(volume)
    return levels[::-1]


def _shrunk(field: Tensor, by: int) -> Tensor:
    """A field of the half resolution on a coarser grid, in voxels of that grid."""
    return field if by == 1 else F.avg_pool3d(field, by) * (1.0 / by)


def _enlarged(field: Tensor) -> Tensor:
    """Trilinear enlargement by 2; voxel centres stay where they are, and so does the unit."""
    return F.interpolate(field, scale_factor=2.0, mode="trilinear", align_corners=False)
