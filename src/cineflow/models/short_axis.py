"""From short-axis cines and landmarks to polar slices and the 16 AHA segments, inside a graph.

Xue et al., section III-A and IV-A: three landmarks per slice (the two junctions of the left and the
right ventricle, and the centre of the cavity) crop and orient the picture; it is resized, equalised
and resampled along rays, and the rays are divided into the segments of the AHA.

What the source leaves open, and the choice here:

- Crop. It is said to be 60 to 160 px wide, which is about 110 mm. Here its half side is
  `REACH` times the mean distance of the junctions from the centre, so that no spacing is needed and
  the outer border of the wall is at the same radius in each slice.
- Orientation. The middle of the septum is the direction half way between the two junctions, and the
  middle of the anterior wall is 90 degrees from it, as in the AHA's segments (Cerqueira et al.
  2002). The order of the junctions tells in which sense the septum follows the anterior wall, so a
  mirrored picture is also read correctly.
- Samples. 192 angles and 48 radii (the source names them a and r): about 1 mm along both at the
  wall. The source's pixels are 0.6 to 2 mm wide.
- Order. The apical slice is resampled to four sectors as in `cineflow.motion.polar`.
- Seams. The source puts the segments of all slices next to one another and treats them as one
  picture. Here each slice is a ring by itself: its first angle follows its last, and no sample is
  next to another slice's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

from cineflow import ops
from cineflow.models.clahe import Clahe

#: Half the side of the crop, in mean distances of the junctions from the centre.
REACH = 1.65

SLICES = 3  # basal, mid, apical
SEGMENTS = 16

#: A normalised coordinate that is outside a picture of any size.
_FAR = 4.0

_SHORTEST = 1e-6  # of a direction, so that none is divided by zero


@dataclass(frozen=True)
class Layout:
    """The samples of a polar slice.

    Attributes:
        side: Height and width of the cropped picture, px (the source: 160).
        columns: Angles of one segment of 60 degrees. A multiple of 16: four halvings.
        radii: Samples from the centre to the border of the crop. A multiple of 16.
        tiles: Tiles of the equalisation along each side (the source: 8).
    """

    side: int = 160
    columns: int = 32
    radii: int = 48
    tiles: int = 8

    @property
    def angles(self) -> int:
        """Angles of a whole slice."""
        return 6 * self.columns


class PolarSlices(nn.Module):
    """Cines and landmarks to polar slices.

    Args:
        layout: The samples.
    """

    centre: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.clahe = Clahe(layout.side, layout.tiles)
        half = (layout.side - 1) / 2.0
        self.register_buffer("centre", torch.full((1, 2), half), persistent=False)
        # Up is the middle of the anterior wall; the septum follows counterclockwise, on the left.
        self.grid = ops.PolarGrid(
            layout.angles,
            layout.radii,
            last_radius=layout.side / 2.0,
            first_angle=-math.pi / 2.0,
            sweep=-2.0 * math.pi,
        )

    def forward(self, cines: Tensor, landmarks: Tensor) -> Tensor:
        """Crop, orient, equalise and resample each frame.

        Args:
            cines: Grey levels 0..255, basal, mid and apical, [1, 3, T, H, W] f32.
            landmarks: In px, x first: the anterior and the inferior junction of the ventricles,
                then the centre of the cavity; of each slice, [1, 3, 3, 2] f32.

        Returns:
            Brightness 0..1, [3, T, angles, radii]. The first angle is the middle of the anterior
            wall, and angles grow towards the septum.
        """
        side = self.layout.side
        height, width = cines.shape[-2:]
        places = crop_places(landmarks[0], side)  # [3, side, side, 2] px
        size = torch.stack([torch.ones_like(places[..., 0]) * one for one in (width, height)], -1)
        grid = (2.0 * places + 1.0) / size - 1.0
        grid = torch.where(grid.abs() < _FAR, grid, _FAR)  # also NaN, which no runtime treats alike
        crops = F.grid_sample(cines[0], grid, align_corners=False)  # [3, T, side, side]
        brightness = self.clahe(crops.flatten(0, 1))
        polar = ops.polar_resample(
            src=brightness[None], centre=self.centre, grid=self.grid, border="clamp"
        )
        return polar[0].unflatten(0, (SLICES, -1))


def crop_places(landmarks: Tensor, side: int) -> Tensor:
    """Where in each slice the samples of the oriented crop are, [3, side, side, 2] px, x first.

    Row 0 is the anterior side, and column 0 the side of the septum.

    Args:
        landmarks: [3, 3, 2] px: anterior junction, inferior junction, centre.
        side: Samples along each side.
    """
    anterior, inferior, centre = landmarks.unbind(dim=1)  # [3, 2] each
    to_anterior, to_inferior = anterior - centre, inferior - centre
    distance = (_length(to_anterior) + _length(to_inferior)) / 2.0  # [3, 1]
    one, other = _unit(to_anterior), _unit(to_inferior)
    septum = one + other
    # Junctions on opposite sides of the centre leave the septum undecided: it is then the side
    # that follows the anterior junction counterclockwise on the screen.
    aside = torch.stack([one[:, 1], -one[:, 0]], dim=1)
    septum = _unit(torch.where(_length(septum) > 1e-3, septum, aside))
    up = torch.stack([-septum[:, 1], septum[:, 0]], dim=1)  # a quarter turn from the septum
    turn = ((one - other) * up).sum(dim=1, keepdim=True)
    up = torch.where(turn >= 0, up, -up)
    steps = torch.arange(side, device=landmarks.device, dtype=landmarks.dtype) - (side - 1) / 2.0
    scaled = steps * (REACH * 2.0 / side) * distance  # [3, side] px
    down = scaled[:, :, None, None] * -up[:, None, None, :]
    across = scaled[:, None, :, None] * -septum[:, None, None, :]
    return centre[:, None, None, :] + down + across


def _length(vectors: Tensor) -> Tensor:
    return (vectors * vectors).sum(dim=1, keepdim=True).clamp(min=_SHORTEST**2).sqrt()


def _unit(vectors: Tensor) -> Tensor:
    return vectors / _length(vectors)


def to_segments(slices: Tensor) -> Tensor:
    """Polar slices as the 16 segments of the AHA, equations 2 and 3 of the source.

    It gives what `cineflow.motion.polar.segment_sequences` gives. The apical slice is resampled
    linearly to two thirds of its angles, because its four segments are wider.

    Args:
        slices: Of whole rings, [3, C, angles, R] with angles a multiple of 12; the first angle is
            the middle of the anterior wall.

    Returns:
        [16, C, angles / 6, R], in the AHA's order.
    """
    width = slices.shape[2] // 6
    six = _turned(slices[:2], width // 2).unflatten(2, (6, width))  # [2, C, 6, width, R]
    triples = slices[2:].unflatten(2, (-1, 3))  # three angles of 60-degree sectors become two
    exact, between = triples[:, :, :, 0], (triples[:, :, :, 1] + triples[:, :, :, 2]) * 0.5
    apical = torch.stack([exact, between], dim=3).flatten(2, 3)
    four = _turned(apical, width // 2).unflatten(2, (4, width))  # [1, C, 4, width, R]
    return torch.cat([one.transpose(1, 2).flatten(0, 1) for one in (six, four)])


def _turned(ring: Tensor, count: int) -> Tensor:
    """[..., A, R] with the last `count` angles first: the first segment straddles the seam."""
    return torch.cat([ring[:, :, -count:], ring[:, :, :-count]], dim=2)
