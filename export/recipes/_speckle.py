"""Moving speckle: example inputs that several recipes share."""

from __future__ import annotations

import math

import torch


def moved_speckle(
    height: int, width: int, seed: int, shift: tuple[float, float] = (1.5, 0.75)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two frames of smooth speckle, the second moved.

    Args:
        height: Rows.
        width: Columns.
        seed: Speckle pattern.
        shift: Motion from the first to the second, px right and px down, at most 8.

    Returns:
        Two tensors [1, 1, height, width] f32, grey levels 0..255.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((1, 1, height + 16, width + 16), generator=generator)
    speckle = torch.nn.functional.avg_pool2d(noise, 5, stride=1, padding=2)
    grey = 255 * (speckle - speckle.min()) / (speckle.max() - speckle.min())
    rows = torch.arange(height, dtype=torch.float32) + 8
    columns = torch.arange(width, dtype=torch.float32) + 8
    return _sample(grey, rows, columns), _sample(grey, rows - shift[1], columns - shift[0])


def moved_volume(
    size: tuple[int, int, int],
    seed: int,
    shift: tuple[float, float, float] = (1.5, 0.75, -0.5),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two volumes of smooth speckle, the second moved.

    Args:
        size: Slices, rows and columns.
        seed: Speckle pattern.
        shift: Motion from the first to the second along x, y and z, voxels, at most 4.

    Returns:
        Two tensors [1, 1, *size] f32, grey levels 0..255.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((1, 1, *(extent + 8 for extent in size)), generator=generator)
    speckle = torch.nn.functional.avg_pool3d(noise, 3, stride=1, padding=1)
    grey = 255 * (speckle - speckle.min()) / (speckle.max() - speckle.min())
    first, second = grey, grey
    for axis, moved in zip((2, 3, 4), reversed(shift), strict=True):
        first = _shifted(first, axis, 0.0)
        second = _shifted(second, axis, moved)
    return first, second


def _shifted(volume: torch.Tensor, axis: int, shift: float) -> torch.Tensor:
    """`volume` moved by `shift` along one axis, linearly, without 4 voxels at each end."""
    whole = math.floor(shift)
    share = shift - whole
    extent = volume.shape[axis] - 8
    near = volume.narrow(axis, 4 - whole, extent)
    if not share:
        return near.contiguous()
    return (1 - share) * near + share * volume.narrow(axis, 3 - whole, extent)


def _sample(image: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Bilinear values of `image` [1, 1, H, W] at every (row, column) pair."""
    height, width = image.shape[-2:]
    y, x = torch.meshgrid((2 * rows + 1) / height - 1, (2 * columns + 1) / width - 1, indexing="ij")
    return torch.nn.functional.grid_sample(
        image, torch.stack((x, y), dim=-1)[None], align_corners=False
    )
