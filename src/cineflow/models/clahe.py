"""Contrast-limited adaptive histogram equalisation inside a graph (Zuiderveld 1994).

A picture is cut into tiles. Each tile has its own map from grey level to brightness, made from its
histogram, and a pixel takes the mean of the four nearest tiles' maps.

The histogram of a tile is one matrix product: a grey level is 16 * high + low, and the product of
the two indicator matrices counts the pixels of each pair. So the graph scatters nothing, which
TensorRT-RTX could not do without a plugin.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

#: MATLAB's defaults (adapthisteq): 256 levels, and the spread of the Rayleigh distribution.
LEVELS = 256
ALPHA = 0.4

_DIGITS = 16  # levels are written with two digits of this base
_TOP = 1.0 - 2.0**-23  # the largest share whose logarithm is finite in f32


class Clahe(nn.Module):
    """Equalises square pictures; the result has a Rayleigh distribution, as near as it can.

    The excess over the limit is spread evenly over all levels, as OpenCV does, but in fractions.
    MATLAB hands out whole pixels one by one.

    Args:
        side: Height and width of a picture, px; a multiple of `tiles`.
        tiles: Tiles along each side.
        clip_limit: As in MATLAB, 0..1: the share of a tile's pixels that one level may have above
            an even spread.
    """

    indicators: Tensor
    up_to: Tensor
    before: Tensor
    first_level: Tensor
    share: Tensor

    def __init__(self, side: int, tiles: int = 8, clip_limit: float = 0.001) -> None:
        super().__init__()
        assert side % tiles == 0, "tiles of one size"
        self.side, self.tiles, self.tile = side, tiles, side // tiles
        pixels = self.tile**2
        even = math.ceil(pixels / LEVELS)
        self.limit = even + round(clip_limit * (pixels - even))
        digits = torch.arange(_DIGITS)
        self.register_buffer("indicators", torch.eye(_DIGITS), persistent=False)
        up_to = (digits[:, None] <= digits).float()  # [digit, up to this one]
        self.register_buffer("up_to", up_to, persistent=False)
        self.register_buffer("before", (digits[:, None] > digits).float(), persistent=False)
        tile, weight = _neighbours(side, tiles)
        index = tile[:, None, :, None] * tiles + tile[None, :, None, :]  # [2, 2, side, side]
        self.register_buffer("first_level", index.flatten(2) * LEVELS, persistent=False)
        share = weight[:, None, :, None] * weight[None, :, None, :]
        self.register_buffer("share", share.flatten(2), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Equalise each picture by itself.

        Args:
            pictures: Grey levels 0..255, [N, side, side] f32.

        Returns:
            Brightness 0..1, [N, side, side] f32.
        """
        levels = pictures.clamp(0, LEVELS - 1).round()  # [N, side, side]
        maps = self.maps_of(self.counts(levels)).flatten(1)  # [N, tiles^2 LEVELS]
        at = levels.flatten(1).long()
        brightness = torch.zeros_like(pictures).flatten(1)
        for y in range(2):
            for x in range(2):
                found = maps.gather(1, at + self.first_level[y, x])
                brightness = brightness + self.share[y, x] * found
        return brightness.unflatten(1, (self.side, self.side))

    def counts(self, levels: Tensor) -> Tensor:
        """Histogram of each tile, [N, tiles^2, 16, 16]: level 16 i + j at [i, j].

        Args:
            levels: Whole numbers 0..255, [N, side, side] f32.
        """
        split = levels.reshape(-1, self.tiles, self.tile, self.tiles, self.tile)
        pixels = split.permute(0, 1, 3, 2, 4).flatten(3).flatten(1, 2)  # [N, tiles^2, pixels]
        high = torch.floor(pixels * (1.0 / _DIGITS))
        low = pixels - _DIGITS * high
        rows, columns = (F.embedding(one.long(), self.indicators) for one in (high, low))
        return rows.transpose(2, 3) @ columns  # each [N, tiles^2, pixels, 16]

    def maps_of(self, counts: Tensor) -> Tensor:
        """Brightness of each level, [N, tiles^2, LEVELS].

        Args:
            counts: [N, tiles^2, 16, 16].
        """
        excess = (counts - self.limit).clamp(min=0).sum(dim=(2, 3), keepdim=True)
        clipped = counts.clamp(max=self.limit) + excess * (1.0 / LEVELS)
        inside = clipped @ self.up_to  # pixels of the same row, up to this level
        whole_rows = self.before @ inside[..., -1:]
        share = (inside + whole_rows).flatten(2) * (1.0 / self.tile**2)
        spread = 2.0 * ALPHA**2
        reached = (share * (1.0 - math.exp(-1.0 / spread))).clamp(max=_TOP)
        return torch.sqrt(-spread * torch.log(1.0 - reached)).clamp(max=1.0)


def _neighbours(side: int, tiles: int) -> tuple[Tensor, Tensor]:
    """For each pixel along a side the two nearest tiles and their shares, [2, side] each.

    Beyond the centre of the first and the last tile, both are that tile.
    """
    place = (torch.arange(side) + 0.5) * (tiles / side) - 0.5  # in tiles, from a tile's centre
    first = place.floor()
    second_share = (place - first).float()
    tile = torch.stack([first, first + 1]).clamp(0, tiles - 1).long()
    return tile, torch.stack([1.0 - second_share, second_share])
